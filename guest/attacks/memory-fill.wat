;; Fills its memory by one instruction, again and again.
(module
  (import "env" "set_output" (func $set_output (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (call $set_output (i32.const 23) (i32.const 1))
    (loop $for_ever
      (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))
      (br $for_ever))
    (i32.const 60000)))
