/*
 * Entry, system calls and the switch of stacks for Xtensa with the Call0 ABI (a0 return address, a1
 * stack, a2..a7 arguments, a12..a15 kept by the callee).
 *
 * System calls of Linux on Xtensa: number in a2, arguments in a6, a3, a4, a5, result in a2.
 */
    .text

    .align  4
    .global _start
_start:
    l32i    a2, a1, 0           /* argc */
    addi    a3, a1, 4           /* argv */
    movi    a4, -16
    and     a1, a1, a4
    movi    a0, main
    callx0  a0
    mov     a6, a2
    movi    a2, 119             /* exit_group */
    syscall

/* int lv_syscall(int number, int a, int b, int c) */
    .align  4
    .global lv_syscall
lv_syscall:
    mov     a6, a3
    mov     a3, a4
    mov     a4, a5
    movi    a5, 0
    syscall
    ret

    .macro  leave_stack
    addi    a1, a1, -32
    s32i    a0, a1, 0
    s32i    a12, a1, 4
    s32i    a13, a1, 8
    s32i    a14, a1, 12
    s32i    a15, a1, 16
    s32i    a1, a2, 0
    mov     a1, a3
    .endm

/* void lv_begin(void **from, void *stack, void (*body)(void)): a body that does not return */
    .align  4
    .global lv_begin
lv_begin:
    leave_stack
    callx0  a4

/* void lv_switch(void **from, void *to): leave this stack, its pointer goes to *from */
    .align  4
    .global lv_switch
lv_switch:
    leave_stack
    l32i    a0, a1, 0
    l32i    a12, a1, 4
    l32i    a13, a1, 8
    l32i    a14, a1, 12
    l32i    a15, a1, 16
    addi    a1, a1, 32
    ret
