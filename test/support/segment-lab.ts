/** Links on one segment, for tests of what passes between them. */
import assert from 'node:assert/strict';
import { ipv4 } from '../../src/base/ip-address.ts';
import { seededRandom } from '../../src/base/random.ts';
import type { FrameReader } from '../../src/stack/link.ts';
import type { SeparationConfig } from '../../src/stack/separation/separation.ts';
import { Stack } from '../../src/stack/stack.ts';
import { NO_EVENTS } from '../../src/stack/stack-config.ts';
import { GATEWAY_IP, GATEWAY_MAC, HOST_IP } from './frames.ts';
import { lend } from './lend.ts';
import { RecordingWriter, Script } from './script.ts';

export class LabLink {
  readonly writer: RecordingWriter = new RecordingWriter();
  private readonly lab: SegmentLab;
  private readonly reader: FrameReader;

  constructor(lab: SegmentLab, name: string) {
    this.lab = lab;
    const reader = lab.stack.attach(lab.now, name, this.writer);
    assert.ok(reader !== undefined);
    this.reader = reader;
  }

  send(frame: Uint8Array): void {
    lend(this.reader, this.lab.now, frame.slice());
    this.reader.onBatchEnd(this.lab.now);
  }

  down(): void {
    this.reader.onLinkDown(this.lab.now);
  }

  /** Frames of other guests, those of the gateway left out. */
  heard(): Uint8Array[] {
    return this.writer.take().filter((frame) => sourceOf(frame) !== GATEWAY_MAC);
  }
}

const sourceOf = (frame: Uint8Array): number =>
  frame.subarray(6, 12).reduce((sum, byte) => sum * 256 + byte, 0);

export class SegmentLab {
  now = 1000;
  /** What the host saw. */
  readonly upper: Script = new Script();
  readonly stack: Stack;
  /** Of guests to reach each other, as far as they are asked for. */
  readonly attempts: string[] = [];

  constructor(separation?: Partial<SeparationConfig>) {
    this.stack = new Stack(
      {
        subnet: ipv4(0xc0a8_7f00 | 0),
        prefixLen: 24,
        gateway: ipv4(GATEWAY_IP),
        host: ipv4(HOST_IP),
        mtu: 1500,
        mac: GATEWAY_MAC,
        verifyChecksums: true,
        tcp: { linkDownGraceMs: 60_000 },
        separation: { mode: 'separate', allowed: [], ...separation },
      },
      this.now,
      seededRandom(1),
      this.upper,
      {
        ...NO_EVENTS,
        onAttempt: (_port, { protocol, port }) => this.attempts.push(`${protocol} ${port}`),
      },
    );
  }

  link(name = 'link'): LabLink {
    return new LabLink(this, name);
  }

  /** Counters that moved, by name; that of IPv6 to the gateway left out. */
  drops(): Readonly<Record<string, number>> {
    const drops = { ...this.stack.drops.snapshot() };
    delete drops['frame-unknown-type'];
    return drops;
  }
}
