/** A stream through an inspector, as its owner handles it: bytes that are held go on when they may. */
import assert from 'node:assert/strict';
import type { Claim } from '../../../src/services/sniff/reader.ts';
import { type Inspection, StreamInspector } from '../../../src/services/sniff/stream-inspector.ts';

export class Inspected {
  readonly claims: Claim[] = [];
  readonly inspector: StreamInspector;
  result: Inspection = 'more';
  private held: number[] = [];
  private readonly passed: number[] = [];

  constructor(allows: (name: string | undefined) => boolean = () => true) {
    this.inspector = new StreamInspector((claim) => {
      this.claims.push(claim);
      return allows(claim.name);
    });
  }

  get names(): readonly (string | undefined)[] {
    return this.claims.map(({ name }) => name);
  }

  get forwarded(): Uint8Array {
    return Uint8Array.from(this.passed);
  }

  get text(): string {
    return String.fromCharCode(...this.passed);
  }

  push(bytes: Uint8Array | string, cut: number = bytes.length): this {
    const all = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
    for (let at = 0; at < all.length; at += cut) this.pushPart(all.subarray(at, at + cut));
    return this;
  }

  end(): this {
    this.result = this.inspector.end();
    if (this.result === 'free') this.pass(0);
    return this;
  }

  private pushPart(bytes: Uint8Array): void {
    if (this.result === 'more') this.result = this.inspector.push(bytes, 0, bytes.length);
    this.held.push(...bytes);
    if (this.result === 'free') this.pass(0);
    if (this.result !== 'more') return;
    assert.ok(this.inspector.held <= this.held.length, 'what has gone on is not held');
    this.pass(this.inspector.held);
  }

  private pass(held: number): void {
    const n = this.held.length - held;
    this.passed.push(...this.held.slice(0, n));
    this.held = this.held.slice(n);
  }
}
