;; The Internet checksum's sum (RFC 1071) with SIMD, and a copy, over bytes in the imported memory.
;;
;; The sum functions return the folded 16-bit sum of little-endian words, with its bytes swapped: the
;; sum of the big-endian words (RFC 1071 §2 (B)). An odd last byte counts as followed by a zero.
;; A lane takes at most 2 * 0xffff a step, so 64 KiB in steps of 64 bytes cannot overflow it.
(module
  (import "env" "memory" (memory 1 65536))

  (func $fold (param $acc v128) (param $rest i32) (result i32)
    (local $sum i64)
    (local.set $sum (i64.extend_i32_u (local.get $rest)))
    (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (i32x4.extract_lane 0 (local.get $acc)))))
    (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (i32x4.extract_lane 1 (local.get $acc)))))
    (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (i32x4.extract_lane 2 (local.get $acc)))))
    (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (i32x4.extract_lane 3 (local.get $acc)))))
    (local.set $sum (i64.add (i64.and (local.get $sum) (i64.const 0xffff)) (i64.shr_u (local.get $sum) (i64.const 16))))
    (local.set $sum (i64.add (i64.and (local.get $sum) (i64.const 0xffff)) (i64.shr_u (local.get $sum) (i64.const 16))))
    (local.set $sum (i64.add (i64.and (local.get $sum) (i64.const 0xffff)) (i64.shr_u (local.get $sum) (i64.const 16))))
    (local.set $rest (i32.wrap_i64 (local.get $sum)))
    (i32.and
      (i32.or (i32.shr_u (local.get $rest) (i32.const 8)) (i32.shl (local.get $rest) (i32.const 8)))
      (i32.const 0xffff)))

  ;; sum(at, len) -> folded sum
  (func (export "sum") (param $at i32) (param $len i32) (result i32)
    (local $acc v128) (local $rest i32) (local $end i32)
    (local.set $end (i32.add (local.get $at) (i32.and (local.get $len) (i32.const -64))))
    (block $wide_done
      (loop $wide
        (br_if $wide_done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $acc (i32x4.add (local.get $acc) (i32x4.add
          (i32x4.add
            (i32x4.extadd_pairwise_i16x8_u (v128.load align=1 (local.get $at)))
            (i32x4.extadd_pairwise_i16x8_u (v128.load offset=16 align=1 (local.get $at))))
          (i32x4.add
            (i32x4.extadd_pairwise_i16x8_u (v128.load offset=32 align=1 (local.get $at)))
            (i32x4.extadd_pairwise_i16x8_u (v128.load offset=48 align=1 (local.get $at)))))))
        (local.set $at (i32.add (local.get $at) (i32.const 64)))
        (br $wide)))
    (local.set $end (i32.add (local.get $at) (i32.and (local.get $len) (i32.const 48))))
    (block $mid_done
      (loop $mid
        (br_if $mid_done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $acc (i32x4.add (local.get $acc)
          (i32x4.extadd_pairwise_i16x8_u (v128.load align=1 (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $mid)))
    (local.set $end (i32.add (local.get $at) (i32.and (local.get $len) (i32.const 14))))
    (block $narrow_done
      (loop $narrow
        (br_if $narrow_done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $rest (i32.add (local.get $rest) (i32.load16_u align=1 (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 2)))
        (br $narrow)))
    (if (i32.and (local.get $len) (i32.const 1))
      (then (local.set $rest (i32.add (local.get $rest) (i32.load8_u (local.get $at))))))
    (call $fold (local.get $acc) (local.get $rest)))

  ;; copy(to, from, len); they may overlap
  (func (export "copy") (param $to i32) (param $from i32) (param $len i32)
    (memory.copy (local.get $to) (local.get $from) (local.get $len))))
