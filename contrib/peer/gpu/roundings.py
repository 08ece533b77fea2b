"""Which roundings to bfloat16 make the error of a velocity: the network in float32, on the CPU, with groups of its
tensors rounded, all but some and one at a time. Groups are stored in bfloat16 by internal/gpu, but for the stream.

    roundings.py [--heads 6] [--size 16] [--tokens 24]        (minutes; 24 heads are the width of SD3.5 Medium)
"""

import argparse
import dataclasses

import torch
import torch.nn.functional as F

import mmdit
import weights

GUIDANCE, EPS = 4.5, 1e-6
GROUPS = {
    "weights": "matrices", "inputs": "patches and the prompt", "conditioning": "embedded time and pooled prompt",
    "modulations": "shifts, scales and gates", "embedded": "the stream before the first block",
    "stream": "the residual stream", "normed": "what a layer norm gives", "qkv": "queries, keys and values",
    "heads": "queries and keys after their norm", "scores": "weights of attention", "attended": "what attention gives",
    "hidden": "the wide layer before and after its activation", "branch": "what is gated and added to the stream",
}  # fmt: skip


class Rounded:
    def __init__(self, config):
        model = weights.fill_network(mmdit.MMDiT(config))
        self.config, self.parameters = config, {n: p.data for n, p in model.named_parameters()}
        self.positions, self.groups = mmdit.positions(config, "cpu"), set()

    def round(self, group, x):
        return x.bfloat16().float() if group in self.groups else x

    def linear(self, name, x):
        weight = self.round("weights", self.parameters[name + ".weight"].flatten(1))
        return F.linear(x, weight, self.parameters[name + ".bias"])

    def embed(self, name, x):
        hidden = self.round("conditioning", self.linear(name + ".linear_1", self.round("conditioning", x)))
        return self.round("conditioning", self.linear(name + ".linear_2", self.round("conditioning", F.silu(hidden))))

    def modulation(self, name, emb, chunks):
        return self.round("modulations", self.linear(name + ".linear", emb)).unsqueeze(1).chunk(chunks, -1)

    def normed(self, x, shift, scale):
        return self.round("normed", F.layer_norm(x, x.shape[-1:], eps=EPS) * (1 + scale) + shift)

    def split(self, x):
        return x.unflatten(-1, (self.config.num_attention_heads, -1))

    def qkv(self, names, norms, x):
        q, k, v = (self.split(self.round("qkv", self.linear(n, x))) for n in names)
        q, k = (self.round("heads", F.rms_norm(s, s.shape[-1:], self.parameters[n + ".weight"], EPS)) for n, s in zip(norms, (q, k)))
        return q, k, v

    def attention(self, q, k, v):
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        scores = (logits - logits.amax(-1, keepdim=True)).exp()
        out = self.round("scores", scores) @ v / scores.sum(-1, keepdim=True)
        return self.round("attended", out.transpose(1, 2).flatten(2))

    def add(self, x, gate, branch):
        return self.round("stream", x + gate * self.round("branch", branch))

    def feed_forward(self, name, x, shift, scale, gate):
        hidden = self.round("hidden", self.linear(name + ".net.0.proj", self.normed(x, shift, scale)))
        hidden = self.round("hidden", F.gelu(hidden, approximate="tanh"))
        return self.add(x, gate, self.linear(name + ".net.2", hidden))

    def block(self, i, x, text, emb):
        name, config, n = f"transformer_blocks.{i}", self.config, x.shape[1]
        last, dual = i == config.num_layers - 1, i in config.dual_attention_layers
        mod = self.modulation(name + ".norm1", emb, 9 if dual else 6)
        mod_text = self.modulation(name + ".norm1_context", emb, 2 if last else 6)
        attn, plain, norms = name + ".attn.", ("to_q", "to_k", "to_v"), ("norm_q", "norm_k")
        picture = self.qkv([attn + p for p in plain], [attn + p for p in norms], self.normed(x, mod[0], mod[1]))
        shift, scale = (mod_text[1], mod_text[0]) if last else (mod_text[0], mod_text[1])
        added = [attn + p for p in ("add_q_proj", "add_k_proj", "add_v_proj")]
        prompt = self.qkv(added, [attn + p for p in ("norm_added_q", "norm_added_k")], self.normed(text, shift, scale))
        out = self.attention(*(torch.cat(pair, 1) for pair in zip(picture, prompt)))
        y = self.add(x, mod[2], self.linear(attn + "to_out.0", out[:, :n]))
        if dual:
            attn = name + ".attn2."
            own = self.qkv([attn + p for p in plain], [attn + p for p in norms], self.normed(x, mod[6], mod[7]))
            y = self.add(y, mod[8], self.linear(attn + "to_out.0", self.attention(*own)))
        y = self.feed_forward(name + ".ff", y, mod[3], mod[4], mod[5])
        if last:
            return y, None
        text = self.add(text, mod_text[2], self.linear(name + ".attn.to_add_out", out[:, n:]))
        return y, self.feed_forward(name + ".ff_context", text, *mod_text[3:6])

    def velocity(self, x, t, hidden, pooled):
        p, (b, c, h, w) = self.config.patch_size, x.shape
        emb = self.embed("time_text_embed.timestep_embedder", mmdit.time_embedding(t))
        emb = self.round("conditioning", emb + self.embed("time_text_embed.text_embedder", pooled))
        emb = self.round("conditioning", F.silu(emb))
        patches = x.view(b, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5).reshape(b, -1, c * p * p)
        x = self.round("embedded", self.linear("pos_embed.proj", self.round("inputs", patches)))
        x = self.round("embedded", x + self.positions)
        text = self.round("embedded", self.linear("context_embedder", self.round("inputs", hidden)))
        for i in range(self.config.num_layers):
            x, text = self.block(i, x, text, emb)
        scale, shift = self.modulation("norm_out", emb, 2)
        x = self.linear("proj_out", self.normed(x, shift, scale))
        return x.view(b, h // p, w // p, p, p, c).permute(0, 5, 1, 3, 2, 4).reshape(b, c, h, w)

    def both(self, groups, x, t, hidden, pooled, null_hidden, null_pooled):
        """Velocity and guided velocity."""
        self.groups = set(groups)
        v = self.velocity(x, t, hidden, pooled)
        empty = self.velocity(x, t, null_hidden.expand(len(x), -1, -1), null_pooled.expand(len(x), -1))
        return v, torch.lerp(empty, v, GUIDANCE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--size", type=int, default=16, help="of the latent picture")
    parser.add_argument("--tokens", type=int, default=24, help="of the prompt")
    args = parser.parse_args()
    config = dataclasses.replace(
        mmdit.MEDIUM, num_attention_heads=args.heads, caption_projection_dim=64 * args.heads, joint_attention_dim=1024,
        pooled_projection_dim=512, height=args.size, width=args.size, tokens=args.tokens,
    )  # fmt: skip
    net, given = Rounded(config), weights.inputs(config, 2, "cpu")
    with torch.no_grad():
        want = net.both((), **given)

        def show(what, groups):
            off = [((a - b).norm() / b.norm()).item() for a, b in zip(net.both(groups, **given), want)]
            print(f"{what:60s} velocity {off[0]:.4f}, guided {off[1]:.4f}", flush=True)

        show("all", GROUPS)
        for left_out in (["stream"], ["stream", "embedded"], ["modulations"], ["stream", "modulations"]):
            show("all but " + ", ".join(left_out), GROUPS.keys() - left_out)
        for group, words in GROUPS.items():
            show(f"{group} alone: {words}", [group])


if __name__ == "__main__":
    main()
