"""Words of 8 bytes and blocks of 32 at any address, for the kernels of LZW: arrays can only say bytes, one at a time.

Nothing here holds an address against the end of its array: the kernels do, once a code.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyright: reportUntypedFunctionDecorator=false
from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

BLOCK_BYTES = 32

_WORD = ir.IntType(64)
_BLOCK = ir.VectorType(ir.IntType(8), BLOCK_BYTES)


def _big_endian(builder: Any, word: Any) -> Any:
    return builder.bswap(word) if sys.byteorder == "little" else word


def _load_word(typing_context, address):
    def generate(context, builder, signature, arguments):
        place = builder.inttoptr(arguments[0], ir.PointerType(_WORD))
        return _big_endian(builder, builder.load(place, align=1))

    return types.uint64(types.uint64), generate


def _store_word(typing_context, address, word):
    def generate(context, builder, signature, arguments):
        place = builder.inttoptr(arguments[0], ir.PointerType(_WORD))
        builder.store(_big_endian(builder, arguments[1]), place, align=1)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), generate


def _copy_block(typing_context, to, source):
    def generate(context, builder, signature, arguments):
        place, origin = (builder.inttoptr(argument, ir.PointerType(_BLOCK)) for argument in arguments)
        builder.store(builder.load(origin, align=1), place, align=1)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), generate


# (address) -> the 8 bytes there as a number, the first the most significant
load_word = cast(Callable[[Any], Any], intrinsic(_load_word))
# (address, number) -> the 8 bytes there, the most significant first
store_word = cast(Callable[[Any, Any], None], intrinsic(_store_word))
# (to, from): 32 bytes, all read before one is written
copy_block = cast(Callable[[Any, Any], None], intrinsic(_copy_block))
