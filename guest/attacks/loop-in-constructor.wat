;; Loops without an end before the host has called anything of the ABI.
(module
  (import "env" "set_output" (func $set_output (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "_initialize") (call $set_output (i32.const 23) (i32.const 1)) (loop $for_ever (br $for_ever)))
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (i32.const 60000)))
