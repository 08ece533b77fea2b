"""The transformer of Stable Diffusion 3.5 in PyTorch alone, with the parameter names of diffusers' SD3Transformer2DModel.

check.py compares the two. Time is t in [0, 1] here, and adapters are those of policy/lora.go: a target names the last
dotted parts of a layer. What is written for speed, and computes the same: patches by a matrix product instead of a
convolution, modulations by addcmul, F.rms_norm, one concatenation of tokens before heads are split, adapters by addmm,
and, after fuse(), one product for q, k and v.
"""

import contextlib
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

EPS = 1e-6
TIME_CHANNELS = 256
TARGETS = (
    "attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0",
    "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out",
)  # fmt: skip
RANK, ALPHA = 32, 64


@dataclasses.dataclass(frozen=True)
class Config:
    """diffusers' config.json, then what it does not say: the latent picture and the tokens of a prompt."""

    sample_size: int
    patch_size: int
    in_channels: int
    out_channels: int
    num_layers: int
    attention_head_dim: int
    num_attention_heads: int
    joint_attention_dim: int
    caption_projection_dim: int
    pooled_projection_dim: int
    pos_embed_max_size: int
    dual_attention_layers: tuple
    qk_norm: str
    height: int
    width: int
    tokens: int

    @property
    def dim(self):
        return self.attention_head_dim * self.num_attention_heads

    @property
    def patches(self):
        return self.height * self.width // self.patch_size**2

    def diffusers(self):
        """config.json, without the picture and the prompt."""
        d = dataclasses.asdict(self)
        for name in ("height", "width", "tokens"):
            del d[name]
        return d | {"_class_name": "SD3Transformer2DModel"}

    def flops(self):
        """(matrix products, attention) of the forward pass of one picture, adapters apart; a multiply-add counts two."""
        d, n, m, layers, dual = self.dim, self.patches, self.tokens, self.num_layers, len(self.dual_attention_layers)
        picture = n * (12 * layers + 4 * dual) * d * d
        text = m * (12 * layers - 9) * d * d  # the last block neither projects nor feeds the text forward
        once = d * (9 * dual + 6 * (layers - dual) + 6 * layers - 4 + 2) * d  # modulations
        ends = 2 * n * d * self.in_channels * self.patch_size**2 + m * d * self.joint_attention_dim
        embed = d * (TIME_CHANNELS + self.pooled_projection_dim + 2 * d)
        attention = 2 * d * (layers * (n + m) ** 2 + dual * n**2)
        return 2 * (picture + text + once + ends + embed), 2 * attention


MEDIUM = Config(
    sample_size=128, patch_size=2, in_channels=16, out_channels=16, num_layers=24, attention_head_dim=64,
    num_attention_heads=24, joint_attention_dim=4096, caption_projection_dim=1536, pooled_projection_dim=2048,
    pos_embed_max_size=384, dual_attention_layers=tuple(range(13)), qk_norm="rms_norm", height=64, width=64, tokens=333,
)  # fmt: skip
SMALL = dataclasses.replace(
    MEDIUM, sample_size=32, num_layers=4, num_attention_heads=4, joint_attention_dim=192, caption_projection_dim=256,
    pooled_projection_dim=128, pos_embed_max_size=24, dual_attention_layers=(0, 1), height=32, width=24, tokens=45,
)  # fmt: skip
TINY = dataclasses.replace(
    SMALL, num_layers=3, num_attention_heads=2, attention_head_dim=16, caption_projection_dim=32, height=8, width=8, tokens=5,
)  # fmt: skip
CONFIGS = {"sd35m": MEDIUM, "small": SMALL, "tiny": TINY}


class Linear(nn.Linear):
    """A layer that can carry an adapter, y += (α/r)·B·A·x, kept in float32 and computed in the type of x."""

    adapted = False

    def add_adapter(self):
        self.lora_A = nn.Linear(self.in_features, RANK, bias=False, device=self.weight.device, dtype=torch.float32)
        self.lora_B = nn.Linear(RANK, self.out_features, bias=False, device=self.weight.device, dtype=torch.float32)
        self.adapted = True

    def forward(self, x):
        y = F.linear(x, self.weight, self.bias)
        if not self.adapted:
            return y
        low = F.linear(x, self.lora_A.weight.to(x.dtype)).flatten(0, -2)
        up = self.lora_B.weight.to(x.dtype)
        return torch.addmm(y.flatten(0, -2), low, up.t(), alpha=ALPHA / RANK).view_as(y)


def embedder(inner, dim):
    return nn.ModuleDict({"linear_1": Linear(inner, dim), "linear_2": Linear(dim, dim)})


def embed(layers, x):
    return layers["linear_2"](F.silu(layers["linear_1"](x)))


class Modulation(nn.Module):
    def __init__(self, dim, chunks):
        super().__init__()
        self.chunks = chunks
        self.linear = Linear(dim, chunks * dim)

    def forward(self, emb):
        return self.linear(emb).unsqueeze(1).chunk(self.chunks, -1)


def normed(x):
    return F.layer_norm(x, x.shape[-1:], eps=EPS)


def modulated(x, shift, scale):
    return torch.addcmul(shift, x, 1 + scale)


class RMSNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, EPS)


class FeedForward(nn.Module):
    def __init__(self, dim):
        super().__init__()
        first = nn.Module()
        first.proj = Linear(dim, 4 * dim)
        self.net = nn.ModuleList([first, nn.Identity(), Linear(4 * dim, dim)])

    def forward(self, x):
        return self.net[2](F.gelu(self.net[0].proj(x), approximate="tanh"))


class Attention(nn.Module):
    """Attention over the picture's tokens, and with joint over the text's too, which then come after them."""

    def __init__(self, config, joint, last=False):
        super().__init__()
        self.heads, self.joint, self.last, self.fused = config.num_attention_heads, joint, last, False
        d, hd = config.dim, config.attention_head_dim
        names = ["to_q", "to_k", "to_v"]
        norms = ["norm_q", "norm_k"]
        if joint:
            names += ["add_q_proj", "add_k_proj", "add_v_proj"] + ([] if last else ["to_add_out"])
            norms += ["norm_added_q", "norm_added_k"]
        for name in names:
            setattr(self, name, Linear(d, d))
        for name in norms:
            setattr(self, name, RMSNorm(hd) if config.qk_norm else nn.Identity())
        self.to_out = nn.ModuleList([Linear(d, d)])

    def fuse(self):
        """One product for q, k and v of a stream. Adapters on them are lost."""
        with torch.no_grad():
            for name, parts in (("qkv", ("to_q", "to_k", "to_v")), ("add_qkv", ("add_q_proj", "add_k_proj", "add_v_proj"))):
                if hasattr(self, parts[0]):
                    layers = [getattr(self, p) for p in parts]
                    one = Linear(1, 1)
                    one.weight = nn.Parameter(torch.cat([p.weight for p in layers]), requires_grad=False)
                    one.bias = nn.Parameter(torch.cat([p.bias for p in layers]), requires_grad=False)
                    setattr(self, name, one)
                    for p in parts:
                        delattr(self, p)
        self.fused = True

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1))

    def streams(self, x, text):
        if self.fused:
            return self.qkv(x).chunk(3, -1), self.add_qkv(text).chunk(3, -1) if self.joint else None
        picture = self.to_q(x), self.to_k(x), self.to_v(x)
        return picture, (self.add_q_proj(text), self.add_k_proj(text), self.add_v_proj(text)) if self.joint else None

    def forward(self, x, text=None):
        (q, k, v), added = self.streams(x, text)
        q, k, v = self.norm_q(self.split(q)), self.norm_k(self.split(k)), self.split(v)
        if self.joint:
            q = torch.cat([q, self.norm_added_q(self.split(added[0]))], 1)
            k = torch.cat([k, self.norm_added_k(self.split(added[1]))], 1)
            v = torch.cat([v, self.split(added[2])], 1)
        out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        out = out.transpose(1, 2).flatten(2)
        n = x.shape[1]
        if not self.joint:
            return self.to_out[0](out)
        return self.to_out[0](out[:, :n]), None if self.last else self.to_add_out(out[:, n:])


class Block(nn.Module):
    def __init__(self, config, i):
        super().__init__()
        self.last, self.dual = i == config.num_layers - 1, i in config.dual_attention_layers
        d = config.dim
        self.norm1 = Modulation(d, 9 if self.dual else 6)
        self.norm1_context = Modulation(d, 2 if self.last else 6)
        self.attn = Attention(config, joint=True, last=self.last)
        if self.dual:
            self.attn2 = Attention(config, joint=False)
        self.ff = FeedForward(d)
        if not self.last:
            self.ff_context = FeedForward(d)

    def forward(self, x, text, emb):
        """emb is the silu of the conditioning: every modulation begins with it."""
        mod, mod_text = self.norm1(emb), self.norm1_context(emb)
        clean = normed(x)
        if self.last:  # AdaLayerNormContinuous: scale first, then shift
            text_in = modulated(normed(text), mod_text[1], mod_text[0])
        else:
            text_in = modulated(normed(text), mod_text[0], mod_text[1])
        attn, attn_text = self.attn(modulated(clean, mod[0], mod[1]), text_in)
        x = torch.addcmul(x, mod[2], attn)
        if self.dual:
            x = torch.addcmul(x, mod[8], self.attn2(modulated(clean, mod[6], mod[7])))
        x = torch.addcmul(x, mod[5], self.ff(modulated(normed(x), mod[3], mod[4])))
        if self.last:
            return x, text
        text = torch.addcmul(text, mod_text[2], attn_text)
        return x, torch.addcmul(text, mod_text[5], self.ff_context(modulated(normed(text), mod_text[3], mod_text[4])))


class MMDiT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, d, c = config, config.dim, config.in_channels * config.patch_size**2
        self.pos_embed = nn.Module()
        self.pos_embed.proj = nn.Conv2d(config.in_channels, d, config.patch_size, config.patch_size)  # for its name and shape
        self.time_text_embed = nn.Module()
        self.time_text_embed.timestep_embedder = embedder(TIME_CHANNELS, d)
        self.time_text_embed.text_embedder = embedder(config.pooled_projection_dim, d)
        self.context_embedder = Linear(config.joint_attention_dim, d)
        self.transformer_blocks = nn.ModuleList(Block(config, i) for i in range(config.num_layers))
        self.norm_out = Modulation(d, 2)
        self.proj_out = Linear(d, c)
        self.calls, self.checkpointing, self.positions = list(self.transformer_blocks), False, None

    def forward(self, x, t, hidden, pooled):
        """Returns the velocity in the type of the weights: x [B, C, H, W], t [B] in [0, 1] and float32."""
        dtype, p = self.proj_out.weight.dtype, self.config.patch_size
        b, c, h, w = x.shape
        if self.positions is None or self.positions.dtype != dtype:
            self.positions = positions(self.config, x.device).to(dtype)
        emb = embed(self.time_text_embed.timestep_embedder, time_embedding(t).to(dtype))
        emb = F.silu(emb + embed(self.time_text_embed.text_embedder, pooled.to(dtype)))
        patches = x.to(dtype).view(b, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5).reshape(b, -1, c * p * p)
        x = F.linear(patches, self.pos_embed.proj.weight.flatten(1), self.pos_embed.proj.bias) + self.positions
        text = self.context_embedder(hidden.to(dtype))
        for block in self.calls:
            if self.checkpointing and torch.is_grad_enabled():
                x, text = checkpoint(block, x, text, emb, use_reentrant=False)
            else:
                x, text = block(x, text, emb)
        scale, shift = self.norm_out(emb)
        x = self.proj_out(modulated(normed(x), shift, scale))
        return x.view(b, h // p, w // p, p, p, c).permute(0, 5, 1, 3, 2, 4).reshape(b, c, h, w)

    def guided(self, scale, x, t, hidden, pooled, null_hidden, null_pooled):
        """v_u + w·(v_c - v_u), both branches in one batch, as policy.Guided: null_* have one row."""
        n = len(x)
        both = self(
            torch.cat([x, x]), torch.cat([t, t]),
            torch.cat([hidden, null_hidden.expand(n, -1, -1)]), torch.cat([pooled, null_pooled.expand(n, -1)]),
        ).float()  # fmt: skip
        return torch.lerp(both[n:], both[:n], scale)

    def add_adapters(self):
        """Freezes the network and gives its targets adapters."""
        self.requires_grad_(False)
        for name, layer in list(self.named_modules()):
            if isinstance(layer, Linear) and any(name == t or name.endswith("." + t) for t in TARGETS):
                layer.add_adapter()

    def adapters(self):
        return [layer for layer in self.modules() if hasattr(layer, "lora_A")]

    def switch(self, on):
        for layer in self.adapters():
            layer.adapted = on

    @contextlib.contextmanager
    def merged(self):
        """Adapters added to the weights, rounded to their type, for as long as the context lasts."""
        layers = self.adapters()
        kept = [layer.weight.clone() for layer in layers]
        with torch.no_grad():
            for layer in layers:
                layer.weight.add_(ALPHA / RANK * (layer.lora_B.weight @ layer.lora_A.weight))
        self.switch(False)
        try:
            yield
        finally:
            self.switch(True)
            with torch.no_grad():
                for layer, weight in zip(layers, kept):
                    layer.weight.copy_(weight)

    def fuse(self):
        for module in list(self.modules()):
            if isinstance(module, Attention):
                module.fuse()

    def compile_blocks(self, mode="default"):
        """Compiles block by block: the blocks of one kind share their code. None is eager."""
        blocks = list(self.transformer_blocks)
        self.calls = blocks if mode is None else [torch.compile(b, dynamic=False, mode=mode) for b in blocks]


def time_embedding(t):
    """Cosines then sines of 1000·t·10000^(-i/128), the angle rounded to float32 as in diffusers and internal/graph."""
    half = TIME_CHANNELS // 2
    freq = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64, device=t.device) / half).float()
    angle = ((1000 * t.float())[:, None] * freq).double()
    return torch.cat([angle.cos(), angle.sin()], 1).float()


def positions(config, device):
    """Rows of the position table for the picture, a centre crop of it: [H/p · W/p, D] in float32."""
    p, n, d = config.patch_size, config.pos_embed_max_size, config.dim
    base, quarter = config.sample_size // p, d // 4
    freq = 10000 ** (-torch.arange(quarter, dtype=torch.float64, device=device) / quarter)

    def half(count):
        at = torch.arange(count, dtype=torch.float64, device=device) + (n - count) // 2
        angle = (at * base / n)[:, None] * freq
        return torch.cat([angle.sin(), angle.cos()], 1)

    h, w = config.height // p, config.width // p
    return torch.cat([half(w)[None].expand(h, w, -1), half(h)[:, None].expand(h, w, -1)], 2).reshape(h * w, d).float()
