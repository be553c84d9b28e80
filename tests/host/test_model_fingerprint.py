"""The name of what a sampling depends on: networks of other packs' kinds, and patches that remember their last step."""

from __future__ import annotations

import enum
import functools
import importlib
from types import SimpleNamespace

import pytest
import torch

import host_import

host_import.import_host()

import comfy.controlnet  # noqa: E402
import comfy.hooks  # noqa: E402
import comfy.ops  # noqa: E402
import comfy.samplers  # noqa: E402
import comfy.sd  # noqa: E402
import nodes as core_nodes  # noqa: E402
from comfy.patcher_extension import WrappersMP  # noqa: E402
from comfy_extras import nodes_apg, nodes_easycache, nodes_hypertile, nodes_sag, nodes_tomesd  # noqa: E402

import tiny_checkpoints  # noqa: E402
import tiny_models  # noqa: E402


@pytest.fixture(scope="module")
def fingerprint(pack):
    return importlib.import_module(f"{pack.__name__}.nodes.measuring.fingerprint").fingerprint


def model_of(network):
    """A MODEL around that network."""
    model = tiny_models.tiny_model("eps")
    del model.model.diffusion_model  # torch puts nothing but a module in its place
    model.model.diffusion_model = network
    return model


class PackedTensor(torch.Tensor):
    """Behaves as the tensors of ComfyUI-GGUF: it is never copied."""

    def detach(self):
        return self

    def clone(self):
        return self


class PackedNetwork(torch.nn.Module):
    """Behaves as the layers of ComfyUI-GGUF: the state_dict has no content, and one tensor more than there is."""

    def __init__(self, seed, size):
        super().__init__()
        values = torch.randint(256, (size,), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
        self.layer = torch.nn.Module()
        self.layer.weight = torch.nn.Parameter(values.as_subclass(PackedTensor), requires_grad=False)
        self.layer._save_to_state_dict = self.say_sizes

    def say_sizes(self, destination, prefix, _keep_vars):
        destination[prefix + "weight"] = torch.zeros_like(self.layer.weight, device="meta")
        destination[prefix + "temp.weight"] = torch.empty(64, device="meta")


@pytest.mark.parametrize("size", [7, 1 << 16])
def test_weights_that_are_not_in_the_state_dict_are_read_from_the_network(fingerprint, size):
    name = fingerprint(model_of(PackedNetwork(1, size)))
    assert name == fingerprint(model_of(PackedNetwork(1, size))) != fingerprint(model_of(PackedNetwork(2, size)))


class AddsLoras(torch.nn.Module):
    """Behaves as the wrapper of ComfyUI-nunchaku: the LoRAs are a list of it, and it notes the last step."""

    dtype = torch.float32

    def __init__(self, *loras):
        super().__init__()
        self.model = tiny_models.Network()
        self.loras = list(loras)
        self.config = {"in_channels": 4, "sizes": [1, 2], "layers": {"a", "b"}, "device": torch.device("cpu")}
        self.config["itself"] = self.config
        self._prev_timestep = None

    def forward(self, x, timesteps, **options):
        self._prev_timestep = float(timesteps[0])
        return self.model(x, timesteps, **options) * (1 + sum(strength for _, strength in self.loras))


def test_what_a_module_holds_beside_its_weights_counts_and_what_a_run_notes_does_not(fingerprint):
    first = model_of(AddsLoras(("style.safetensors", 0.5)))
    name = fingerprint(first)
    prompt, latent = tiny_models.conditioning(), tiny_models.empty_latent(first)
    core_nodes.common_ksampler(first, 1, 2, 1.0, "euler", "simple", prompt, prompt, latent)
    assert first.model.diffusion_model._prev_timestep is not None
    assert name == fingerprint(first) == fingerprint(model_of(AddsLoras(("style.safetensors", 0.5))))
    others = [AddsLoras(), AddsLoras(("style.safetensors", 1.0)), AddsLoras(("face.safetensors", 0.5))]
    names = {name, *(fingerprint(model_of(network)) for network in others)}
    assert len(names) == 4


def with_wrapper(strength):
    model = tiny_models.tiny_model("eps")
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, "k", lambda executor, *a, **k: executor(*a, **k) * strength)
    return model


def with_object(gain):
    model = tiny_models.tiny_model("eps")
    model.add_object_patch("latent_format.scale_factor", gain)
    return model


def function_of_attribute(name):
    return {"sin": lambda x: x.sin(), "cos": lambda x: x.cos()}[name]


def function_of_default(value):
    def function(sigma, factor=value):
        return sigma * factor

    return function


class Mode(enum.Enum):
    FIRST = 1
    SECOND = 2


class OtherForward(tiny_models.Network):
    """With the same weights."""

    def forward(self, x, timesteps, **_):
        return -x


@pytest.mark.parametrize(
    ("make", "first", "second"),
    [
        (with_wrapper, 1.0, 2.0),
        (with_object, 1.0, 2.0),
        (lambda network: model_of(network()), tiny_models.Network, OtherForward),
        (tiny_models.tiny_model, "eps", "edm"),
        (torch.zeros, (2, 3), (3, 2)),
        (function_of_attribute, "sin", "cos"),
        (function_of_default, 1, 2),
        (Mode, 1, 2),
        (functools.partial(functools.partial, function_of_default), 1, 2),
        (set, "ab", "ac"),
        (dict, {"a": 1, "b": 2}, {"aint:1b": 2}),
    ],
    ids=["wrapper", "object", "network", "sampling", "shape", "attribute", "default", "enum", "partial", "set", "ends"],
)
def test_what_differs_in_one_thing_has_another_name(fingerprint, make, first, second):
    assert fingerprint(make(first)) == fingerprint(make(first)) != fingerprint(make(second))


def test_a_patched_model_is_read_sparingly_and_what_follows_is_not(pack, fingerprint):
    module = importlib.import_module(f"{pack.__name__}.nodes.measuring.fingerprint")
    model, large = tiny_models.tiny_model("eps"), torch.zeros(4 * module.SAMPLED)
    changed = large.clone()
    changed[1] = 1
    assert fingerprint(model, large) != fingerprint(model, changed)


def meta_weight():
    network = tiny_models.Network()
    network.weight = torch.nn.Parameter(torch.empty(4096, device="meta"))
    return network


def compiled_part():
    """With an object of a compiled library, in which nothing can be seen."""
    network = tiny_models.Network()
    network.engine = memoryview(b"weights")
    return network


class Engine:
    """A network that was compiled as a whole, which is no module."""

    def state_dict(self):
        return {}


@pytest.mark.parametrize("make", [meta_weight, compiled_part, Engine])
def test_a_network_that_cannot_be_read_is_never_taken_for_another_one(fingerprint, make):
    network = make()
    name = fingerprint(model_of(network))
    assert name == fingerprint(model_of(network)) != fingerprint(model_of(make()))


def test_a_patch_that_cannot_be_read_is_never_taken_for_another_one(fingerprint):
    def patched():
        model = model_of(tiny_models.Network())
        assert model.add_patches({"diffusion_model.weight": ("diff", (torch.empty((), device="meta"),))})
        return model

    assert fingerprint(patched()) != fingerprint(patched())


class Layered(torch.nn.Module):
    """A network with a layer of the host, and a number that a patch may change."""

    def __init__(self):
        super().__init__()
        self.gain = 1.0
        self.layer = comfy.ops.disable_weight_init.Linear(8, 8)
        self.layer.weight.data.fill_(0.1)
        self.layer.bias.data.fill_(0.1)


def test_a_name_is_the_same_while_the_model_is_loaded_whole_or_in_part(fingerprint):
    model = model_of(Layered())
    unpatched = fingerprint(model)
    assert model.add_patches({"diffusion_model.layer.weight": ("diff", (torch.ones(8, 8),))})
    model.add_object_patch("diffusion_model.gain", 2.0)
    name = fingerprint(model)
    layer, cpu = model.model.diffusion_model.layer, torch.device("cpu")
    model.patch_model(cpu)
    assert model.model.diffusion_model.gain == 2.0 and float(layer.weight[0, 0].detach()) > 1
    assert fingerprint(model) == name
    model.unpatch_model(cpu)
    model.patch_model(cpu, lowvram_model_memory=1)
    assert layer.comfy_cast_weights and layer.weight_function
    assert fingerprint(model) == name
    model.unpatch_model(cpu)
    assert fingerprint(model) == name != unpatched


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    """A small SD 1.5 through the host's loader."""
    path = tiny_checkpoints.write_checkpoint("SD15", tmp_path_factory.mktemp("checkpoint"))
    return comfy.sd.load_checkpoint_guess_config(str(path), output_vae=False, output_clip=False)[0]


NODES = {  # the host's nodes of which some remember their last step, with a setting
    "APG": lambda model, setting: nodes_apg.APG.execute(model, 1.0, 5.0, setting),
    "SAG": lambda model, setting: nodes_sag.SelfAttentionGuidance.execute(model, setting, 2.0),
    "ToMe": lambda model, setting: nodes_tomesd.TomePatchModel.execute(model, setting),
    "HyperTile": lambda model, setting: nodes_hypertile.HyperTile.execute(model, 32, 2 + int(setting), 0, False),
    "EasyCache": lambda model, setting: nodes_easycache.EasyCacheNode.execute(model, setting, 0.15, 0.95, False),
    "LazyCache": lambda model, setting: nodes_easycache.LazyCacheNode.execute(model, setting, 0.15, 0.95, False),
}


@pytest.mark.parametrize("node", NODES)
def test_a_patch_of_the_host_counts_by_its_settings_and_not_by_its_last_step(fingerprint, unet, node):
    def patched(setting):
        return tuple(NODES[node](unet, setting))[0]

    model = patched(0.25)
    name = fingerprint(model)
    generator = torch.Generator().manual_seed(0)
    positive, negative = ([[torch.randn(1, 7, 768, generator=generator), {}]] for _ in range(2))
    latent = {"samples": torch.zeros(1, 4, 16, 16)}
    with torch.inference_mode():
        core_nodes.common_ksampler(model, 1, 3, 3.0, "euler", "simple", positive, negative, latent)
    assert name == fingerprint(model) == fingerprint(patched(0.25)) != fingerprint(patched(1.5))
    assert name != fingerprint(unet)


def running_sum(start):
    total, factor = 0.0, start

    def add(arguments):
        nonlocal total
        arguments.factor = factor
        total += arguments.factor
        return total

    return add


def running_sum_within(start):
    """The same, assigned by a function within the patch, and read by another patch."""
    total, factor = 0.0, start

    def read():
        return total

    def add(arguments):
        def assign():
            nonlocal total
            total += factor

        assign()
        return total

    return {"a": read, "b": add}


@pytest.mark.parametrize("make", [running_sum, running_sum_within])
def test_a_variable_that_a_patch_assigns_does_not_count_and_one_that_it_reads_does(fingerprint, make):
    patch = make(1.0)
    name = fingerprint(patch)
    (patch["b"] if isinstance(patch, dict) else patch)(SimpleNamespace())
    assert name == fingerprint(patch) == fingerprint(make(1.0)) != fingerprint(make(2.0))


class Regional:
    """Behaves as the patches and hooks of packs for regional prompts: these are an attribute of it."""

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def __call__(self, apply, arguments):
        return apply(arguments["input"], arguments["timestep"], **arguments["c"])


class RegionalHook(comfy.hooks.TransformerOptionsHook):
    """Behaves as AttentionCoupleHook of comfyui-prompt-control."""

    def __init__(self, conds):
        super().__init__(hook_scope=comfy.hooks.EnumHookScope.HookedOnly)
        self.transformers_dict = {"patches": {"attn2_patch": [self.patch]}}
        self.conds = conds

    def patch(self, q, k, v, _options):
        return q, k + self.conds[0], v


NAMES_OF_RUNS = (
    "conds", "inner_model", "loaded_models", "device", "parent", "control_input", "cond_hint", "uuid",
    "timestep_range", "hook_ref", "curr_t", "_current_setting",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES_OF_RUNS)
def test_what_the_host_calls_its_own_counts_in_the_patches_of_others(fingerprint, unet, name):
    def patched(value):
        model = unet.clone()
        model.set_model_unet_function_wrapper(Regional(**{name: [torch.full((1, 4), value)]}))
        return model

    def with_option(value):
        model = unet.clone()
        model.model_options["transformer_options"][name] = value
        return model

    for make in (patched, with_option):
        assert fingerprint(make(1.0)) == fingerprint(make(1.0)) != fingerprint(make(2.0))


def test_the_prompts_that_a_hook_keeps_count(fingerprint):
    def conditioning(value):
        hooks = comfy.hooks.HookGroup()
        hooks.add(RegionalHook([torch.full((1, 4), value)]))
        return comfy.hooks.set_hooks_for_conditioning(tiny_models.conditioning(), hooks)

    assert fingerprint(conditioning(1.0)) == fingerprint(conditioning(1.0)) != fingerprint(conditioning(2.0))


class Control(torch.nn.Module):
    """The network of a ControlNet, as small as can be."""

    dtype = torch.float32

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, x, **_):
        return {"output": [self.weight * x]}


def controlled(strength):
    """Conditioning with a ControlNet, and a schedule for the strength of a hook."""
    control = comfy.controlnet.ControlNet(Control(), load_device=torch.device("cpu"))
    control.set_cond_hint(torch.zeros(1, 3, 64, 64), strength)
    keyframes = comfy.hooks.HookKeyframeGroup()
    keyframes.add(comfy.hooks.HookKeyframe(1.0))
    keyframes.add(comfy.hooks.HookKeyframe(0.5, 0.3))
    hooks = comfy.hooks.create_hook_model_as_lora({"diffusion_model.weight": torch.tensor(0.1)}, None, 1.0, 0.0)
    hooks.set_keyframes_on_hooks(keyframes)
    ((context, extra),) = tiny_models.conditioning()
    return [[context, {**extra, "control": control, "hooks": hooks}]]


def test_this_comfyui_has_every_class_that_leaves_something_and_another_may_lack_one(pack, monkeypatch):
    host = importlib.import_module(f"{pack.__name__}.nodes.host.conditioning")
    assert all(isinstance(getattr(module, kind), type) for module, kind in host._LEFT_BY_A_RUN)
    monkeypatch.delattr(host.comfy.hooks, "TransformerOptionsHook")
    keyframes = host.comfy.hooks.HookKeyframeGroup()
    assert "_current_strength" in host.left_by_a_run(keyframes) and not host.left_by_a_run(object())


def test_a_run_leaves_the_names_of_controlnets_and_hooks(fingerprint):
    model, latent = tiny_models.tiny_model("eps"), tiny_models.empty_latent(tiny_models.tiny_model("eps"))
    prompt, negative = controlled(0.5), tiny_models.conditioning()
    name = fingerprint(prompt)
    core_nodes.common_ksampler(model, 1, 4, 1.0, "euler", "simple", prompt, negative, latent)
    assert fingerprint(prompt) == name == fingerprint(controlled(0.5)) != fingerprint(controlled(1.0))


def test_what_a_pack_attaches_to_a_model_counts(fingerprint, unet):
    """As AnimateDiff keeps the strength of a motion model there."""

    def attached(value):
        model = unet.clone()
        model.set_attachments("ADE", Regional(scale=value))
        return model

    assert fingerprint(attached(1.0)) == fingerprint(attached(1.0)) != fingerprint(attached(2.0))


class KeepsThings(comfy.samplers.CFGGuider):
    """A guider that keeps much of a run, as newer ComfyUIs' for two models and those of packs do."""

    def __init__(self, model, second):
        super().__init__(model)
        self.second = second
        self.inner = None
        self.step = 0
        self.seen = []

    def set_strength(self, strength):
        self.strength = strength

    def outer_sample(self, noise, *arguments, **named):
        self.inner, self.loaded = self.second.model, [self.second]
        self._negative = list(self.conds["negative"])
        return super().outer_sample(noise, *arguments, **named)

    def predict_noise(self, x, *arguments, **named):
        self.note(x)
        return super().predict_noise(x, *arguments, **named) * self.strength

    def note(self, x):
        self.step += 1
        self.seen = [x]
        self.last = x


def kept_guider(second="eps", strength=1.0, cfg=2.0):
    guider = KeepsThings(tiny_models.tiny_model("eps"), tiny_models.tiny_model(second))
    guider.set_conds(tiny_models.conditioning(), tiny_models.conditioning())
    guider.set_strength(strength)
    guider.set_cfg(cfg)
    return guider


def sample_with(guider):
    """As SamplerCustomAdvanced does it."""
    latent = tiny_models.empty_latent(guider.model_patcher)["samples"]
    sigmas = torch.tensor([14.0, 3.0, 0.5, 0.0])
    guider.sample(
        torch.ones_like(latent), latent, comfy.samplers.sampler_object("euler"), sigmas, disable_pbar=True, seed=1
    )


def test_what_a_guider_keeps_of_a_run_does_not_count_and_its_settings_do(fingerprint):
    guider = kept_guider()
    name = fingerprint(guider)
    sample_with(guider)
    assert guider.step == 3 and guider.loaded and guider.inner is not None
    assert name == fingerprint(guider) == fingerprint(kept_guider())
    others = [kept_guider("edm"), kept_guider(strength=0.5), kept_guider(cfg=3.0)]
    assert len({name, *(fingerprint(other) for other in others)}) == 4
    guider.model_options = {**guider.model_options, "sampler_cfg_function": by_name}
    assert fingerprint(guider) != name


def by_name(arguments):
    return arguments["cond"]


def test_core_guiders_keep_their_names(fingerprint):
    """Each with its own kind of conditioning; the one for two models is of newer hosts."""
    from comfy_extras import nodes_custom_sampler as core

    model, prompt = tiny_models.tiny_model("eps"), tiny_models.conditioning()
    made = {
        "BasicGuider": (model, prompt),
        "CFGGuider": (model, prompt, prompt, 2.0),
        "DualCFGGuider": (model, prompt, prompt, prompt, 2.0, 3.0, "regular"),
        "DualModelGuider": (model, prompt, 2.0, tiny_models.tiny_model("eps"), prompt),
    }
    for node, inputs in made.items():
        if not hasattr(core, node):
            assert node == "DualModelGuider"
            continue
        guider = getattr(core, node).execute(*inputs).args[0]
        name = fingerprint(guider)
        sample_with(guider)
        assert fingerprint(guider) == name, node


def test_the_clones_of_a_controlnet_for_other_gpus_do_not_count(fingerprint):
    ((_, extra),) = prompt = controlled(0.5)
    name = fingerprint(prompt)
    extra["control"].multigpu_clones = {torch.device("cpu"): "a clone"}  # which newer ComfyUIs fill
    assert fingerprint(prompt) == name
