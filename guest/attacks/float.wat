;; Computes with NaN, infinity and minus zero, and would set an output with them.
(module
  (import "env" "set_output" (func $set_output (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (call $set_output (i32.const 23) (i32.trunc_f32_s (f32.sub (f32.const inf) (f32.const inf))))
    (call $set_output (i32.const 18) (i32.reinterpret_f32 (f32.const -0)))
    (i32.const 60000)))
