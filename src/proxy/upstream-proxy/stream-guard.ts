/** What a guest states inside a tunnel that it was granted for a name, held until it is that name: see `StreamGate`. */
import { Transform, type TransformCallback } from 'node:stream';
import { type Inspection, StreamInspector } from '../../services/sniff/stream-inspector.ts';
import type { NameCheck } from '../inspect/name-check.ts';
import { HELD_MS } from '../inspect/stream-gate.ts';

const NOTHING = Buffer.alloc(0);

export class StreamGuard extends Transform {
  private readonly check: NameCheck;
  private readonly inspector: StreamInspector;
  private readonly heldMs: number;
  private kept: Buffer = NOTHING;
  private isFree = false;
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor(check: NameCheck, heldMs: number = HELD_MS) {
    super();
    this.check = check;
    this.heldMs = heldMs;
    this.inspector = new StreamInspector((claim) => check.onClaim(claim) === undefined);
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    if (this.isFree) {
      done(null, chunk);
      return;
    }
    this.kept = this.kept.length === 0 ? chunk : Buffer.concat([this.kept, chunk]);
    this.pass(this.inspector.push(chunk, 0, chunk.length), done);
  }

  override _flush(done: TransformCallback): void {
    if (this.isFree) done();
    else this.pass(this.inspector.end(), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.timer);
    done(error);
  }

  private pass(result: Inspection, done: TransformCallback): void {
    clearTimeout(this.timer);
    const isRead = result === 'more' || result === 'free';
    if (result === 'refused' || (!isRead && this.check.onFault(result) !== undefined)) {
      done(new Error('it is not what was asked for'));
      return;
    }
    this.isFree = result !== 'more';
    const n = this.isFree ? this.kept.length : this.kept.length - this.inspector.held;
    const passed = this.kept.subarray(0, n);
    this.kept = this.kept.subarray(n);
    if (this.kept.length > 0) this.timer = setTimeout(() => this.onLate(), this.heldMs).unref();
    done(null, passed);
  }

  private onLate(): void {
    if (this.check.onFault('first-bytes-late') !== undefined) {
      this.destroy(new Error('first bytes are late'));
      return;
    }
    this.isFree = true;
    const { kept } = this;
    this.kept = NOTHING;
    this.push(kept);
  }
}
