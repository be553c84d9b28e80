// What ComfyUI serves as scripts/app.js, with the types that its frontend publishes.
import type { ComfyApp } from "@comfyorg/comfyui-frontend-types";

export declare const app: ComfyApp;

declare global {
  interface Window {
    LiteGraph?: any;
  }
}
