#!/bin/sh
# A C compiler for the instructions of the ESP32: cc.sh CLANG LLC LLVM-MC OPTION... -o OUT.o SOURCE.c
#
# The driver of clang does not know this processor, and llc writes objects whose literals lie where they
# cannot be loaded from; so clang writes LLVM's intermediate code, llc assembly, and llvm-mc the object.
# OUT.ll and OUT.s stay beside it.  Without mul32high, which the emulated core has no instructions of.
set -e
clang=$1 llc=$2 mc=$3
shift 3
for option in "$@"; do
    [ "$before" != -o ] || object=$option
    before=$option
done
out=${object%.o}
include=$(dirname "$0")/include
"$clang" --target=xtensa-none-elf -nostdlibinc -isystem "$include" -fomit-frame-pointer \
    -Wno-unused-command-line-argument "$@" -S -emit-llvm -o "$out.ll"
"$llc" -O2 -mtriple=xtensa -mcpu=esp32 -mattr=-mul32high -filetype=asm -o "$out.s" "$out.ll"
"$mc" -triple=xtensa -mcpu=esp32 -filetype=obj -o "$object" "$out.s"
