;; Publishes what is no text: bytes that are not UTF-8, overlong forms, half of a character, a surrogate,
;; 64 KiB, nothing; and a topic that a NUL cuts short.
(module
  (import "env" "mqtt_publish" (func $mqtt_publish (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "fine\00")
  (data (i32.const 8) "data\00")
  (data (i32.const 16) "a\ff\fe\00") ;; topic, not UTF-8
  (data (i32.const 32) "a\c0\af\00") ;; topic, longer than needed
  (data (i32.const 48) "a\c3\00") ;; topic, half a character
  (data (i32.const 64) "a\ed\a0\80\00") ;; topic, a surrogate
  (data (i32.const 80) "da\00ta/#\00")
  (func (export "abi_version") (result i32) (i32.const 1))
  (func (export "init") (result i32) (i32.const 0))
  (func (export "step") (result i32)
    (local i32)
    (drop (call $mqtt_publish (i32.const 16) (i32.const 0)))
    (drop (call $mqtt_publish (i32.const 32) (i32.const 0)))
    (drop (call $mqtt_publish (i32.const 48) (i32.const 0)))
    (drop (call $mqtt_publish (i32.const 64) (i32.const 0)))
    (drop (call $mqtt_publish (i32.const 7) (i32.const 0)))
    (drop (call $mqtt_publish (i32.const 8) (i32.const 16)))
    (drop (call $mqtt_publish (i32.const 80) (i32.const 0)))
    (local.set 0 (i32.const 1024))
    (loop $fill
      (i32.store8 (local.get 0) (i32.const 97))
      (br_if $fill (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 65535))))
    (drop (call $mqtt_publish (i32.const 1024) (i32.const 0)))
    (i32.const 60000)))
