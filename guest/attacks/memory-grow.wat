;; Grows its memory until it is told no, then writes to its last byte.
(module
  (import "env" "log_int" (func $log_int (param i32)))
  (memory (export "memory") 1)
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (loop $more
      (call $log_int (memory.grow (i32.const 1)))
      (br_if $more (i32.lt_s (memory.size) (i32.const 4))))
    (call $log_int (memory.grow (i32.const 1)))
    (call $log_int (memory.grow (i32.const 65535)))
    (i32.store8 (i32.const 262143) (i32.const 65))
    (call $log_int (i32.load8_u (i32.const 262143)))
    (i32.const 60000)))
