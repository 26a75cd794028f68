/*
 * Entry, system calls and the switch of stacks for Xtensa with the windowed ABI of the ESP32.
 *
 * A call moves the window of 16 registers on by 4, 8 or 12 of the register file: what is a8 before a
 * call8 is a0 after it, so a10 is the callee's first argument, and a10 has the result afterwards.
 * Registers of callers stay in the file until it is full; then the oldest are written below the stack
 * pointers of the functions that were called (window overflow), and read again on return (underflow).
 * Of each frame the last 16 bytes are for that, with call8 the 16 below, with call12 the 32 below.
 *
 * System calls of Linux on Xtensa: number in a2, arguments in a6, a3, a4, a5, result in a2.
 */
    .text
    .literal_position
    .literal address_of_main, main

    .align  4
    .global _start
_start:
    movi    a0, 0               /* nobody to return to */
    l32i    a6, a1, 0           /* argc */
    addi    a7, a1, 4           /* argv */
    movi    a4, -16
    and     a1, a1, a4
    l32r    a4, address_of_main
    callx4  a4
    movi    a2, 119             /* exit_group */
    syscall

/* int lv_syscall(int number, int a, int b, int c) */
    .align  4
    .global lv_syscall
lv_syscall:
    entry   a1, 32
    mov     a6, a3
    mov     a3, a4
    mov     a4, a5
    movi    a5, 0
    syscall
    retw

/* void abort(void): the board crashes, and is started again */
    .align  4
    .global abort
abort:
    entry   a1, 32
    ill

/*
 * Write the registers of all callers to their stacks.  Six calls of 12 registers go once round the 64
 * of an ESP32; nothing but the caller's own window is in the file afterwards.
 */
    .align  4
spill:
    entry   a1, 48
    beqz    a2, spilled
    addi    a14, a2, -1
    call12  spill
spilled:
    retw

/* void lv_switch(void **from, void *to): leave this stack, its pointer goes to *from */
    .align  4
    .global lv_switch
lv_switch:
    entry   a1, 64
    movi    a14, 6
    call12  spill
    s32i    a0, a1, 0
    s32i    a1, a2, 0
    mov     a1, a3
    l32i    a0, a1, 0
    retw                        /* underflow: the caller's registers come from this stack */

/* void lv_begin(void **from, void *stack, void (*body)(void)): the same, for a body that begins */
    .align  4
    .global lv_begin
lv_begin:
    entry   a1, 64
    movi    a14, 6
    call12  spill
    s32i    a0, a1, 0
    s32i    a1, a2, 0
    mov     a1, a3
    callx4  a4
    ill
