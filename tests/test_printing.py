"""`print` of traced tensors: at run time, in order, where control flow goes."""

from __future__ import annotations

import numpy as np

import jitflow as jf


def three() -> jf.Tensor:
    return jf.asarray(np.array([1.0, 2.0, 3.0], np.float32))


def test_prints_appear_at_every_call_in_order(capsys):
    @jf.function
    def f(x):
        jf.print("sum", jf.sum(x), sep=": ")
        y = x * 2
        jf.print("y", y, "{}", end="!\n")
        return y

    f(three())
    f(three() + 1)
    assert capsys.readouterr().out.splitlines() == [
        "sum: 6.0",
        "y [2. 4. 6.] { }!",
        "sum: 9.0",
        "y [4. 6. 8.] { }!",
    ]


def test_python_print_is_staged(capsys):
    @jf.function
    def f(x):
        print("value", x[0])
        return x

    f(three())
    f(three() + 4)
    assert capsys.readouterr().out == "value 1.0\nvalue 5.0\n"


def test_prints_in_loops_and_branches(capsys):
    @jf.function
    def f(x):
        for i in range(jf.asarray(3)):
            if x[i] > 1.5:
                print("at", i, "big", x[i])
        return x

    f(three())
    assert capsys.readouterr().out.splitlines() == ["at 1 big 2.0", "at 2 big 3.0"]


def test_prints_in_scan(capsys):
    @jf.function
    def f(xs):
        def body(c, x):
            jf.print("step", x)
            return c + x, None

        return jf.scan(body, jf.zeros(()), xs)[0]

    assert f(three()).item() == 6.0
    out = capsys.readouterr().out
    assert out == "step 1.0\nstep 2.0\nstep 3.0\n"


def test_eager_print_is_pythons(capsys):
    jf.print("x", three(), sep="=")
    assert capsys.readouterr().out.startswith("x=Tensor(")
