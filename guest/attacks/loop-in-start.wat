;; Loops without an end while it is instantiated.
(module
  (memory (export "memory") 1)
  (func $begin (loop $for_ever (br $for_ever)))
  (start $begin)
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (i32.const 60000)))
