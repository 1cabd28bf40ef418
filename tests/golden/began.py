"""Runs the networks and the losses of carpedm20/BEGAN-tensorflow once: `python tests/golden/began.py CHECKOUT`.

Its `Trainer.build_model` makes the whole graph; files, sessions and pictures around it are left out. It runs on the
CPU, so it is told NHWC, as `--use_gpu=False` tells it.
"""

import sys
from types import SimpleNamespace

import numpy
import tensorflow1
from tensorflow1 import official_name, reset, single, tf

SIZE, CHANNELS, WIDTH, CODE, BATCH, BALANCE = 32, 3, 2, 5, 3, 0.3

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    tensorflow1.without("scipy", "scipy.misc", "tqdm", "utils")
    import trainer

    random = numpy.random.RandomState(0)
    pixels = random.randint(0, 256, (BATCH, CHANNELS, 8, 8)).astype(numpy.float32)
    latent = single(random.uniform(-1, 1, (BATCH, CODE)))
    made = trainer.Trainer.__new__(trainer.Trainer)
    settings = {
        "conv_hidden_num": WIDTH,
        "z_num": CODE,
        "channel": CHANNELS,
        "repeat_num": int(numpy.log2(SIZE)) - 2,
        "data_format": "NHWC",
    }
    settings |= {"gamma": 0.5, "lambda_k": 0.001, "optimizer": "adam", "config": SimpleNamespace(optimizer="adam")}
    with tensorflow1.double_precision():
        settings["data_loader"] = tf.constant(pixels.repeat(4, 2).repeat(4, 3).transpose(0, 2, 3, 1), tf.float64)
        settings |= {
            "g_lr": tf.constant(0.0, tf.float64),
            "d_lr": tf.constant(0.0, tf.float64),
            "step": tf.Variable(0, name="step", trainable=False),
        }
        made.__dict__.update(settings)
        made.build_model()
    names = ("d_loss_real", "d_loss_fake", "d_loss", "g_loss", "balance", "measure")
    fetched = {name: getattr(made, name) for name in names} | {"code": made.D_z}
    fetched |= {name: getattr(made, name) for name in ("G", "AE_G", "AE_x")}
    gradients = [(made.g_loss, made.G_var), (made.d_loss, made.D_var)]
    fetched |= {
        f"gradient.{official_name(one)}": tf.gradients(loss, one)[0]
        for loss, variables in gradients
        for one in variables
    }
    with tensorflow1.session() as running:
        running.run(tf.global_variables_initializer())
        reset(running, k_t=BALANCE, step=0)
        out = running.run(fetched, {made.z: latent})
        out["k_after"] = running.run(made.k_update, {made.z: latent})
    out |= {name: out[name].transpose(0, 3, 1, 2)[:, :, ::5, ::5] for name in ("G", "AE_G", "AE_x")}
    tensorflow1.save(out | {"pixels": pixels, "latent": latent, "k_before": numpy.asarray(BALANCE)}, "began")
    print({name: out[name] for name in (*names, "k_after")})
