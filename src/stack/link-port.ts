/**
 * One link as the stack holds it: its writer, its counters, and the connections that wait for it
 * to drain. The transport sees it as a `FrameReader`.
 */
import { reportFault } from '../base/faults.ts';
import { NO_BYTES } from '../base/no-bytes.ts';
import type { Instant } from '../base/time.ts';
import type { Mac } from '../wire/mac.ts';
import type { Frame } from './frame.ts';
import type { Guest } from './guest.ts';
import { JoinedGroups } from './joined-groups.ts';
import type { FrameReader, FrameWriter } from './link.ts';
import { LinkAddresses } from './separation/link-addresses.ts';
import type { AllowedAddress } from './separation/separation.ts';

/** Something with frames to send that found the link full. */
export interface BlockedSender {
  onLinkWritable(now: Instant): void;
}

/** Receives the events of a port's transport. Implemented by the segment. */
export interface PortOwner {
  onPortFrame(now: Instant, port: LinkPort, frame: Frame): void;
  onPortBatchEnd(now: Instant): void;
  onPortDown(now: Instant, port: LinkPort): void;
}

export class LinkPort implements FrameReader {
  readonly id: number;
  readonly name: string;
  readonly writer: FrameWriter;
  readonly attachedAt: Instant;
  /** Whoever is behind it. */
  guest: Guest;
  framesToHost = 0;
  bytesToHost: number = NO_BYTES;
  framesToGuest = 0;
  bytesToGuest: number = NO_BYTES;
  up = true;
  /** The longest frame that came from it whole, in bytes. */
  longestLen = 0;
  /** Destination of the last frame to another guest, and the link that it is on as of this epoch of the bindings. */
  lastDst: Mac = -1;
  dstEpoch = -1;
  dstPort: LinkPort | undefined = undefined;
  /** What its guests send from. */
  readonly addresses: LinkAddresses;
  /** What its guests have joined, of IPv6 and of IPv4. */
  readonly groups: JoinedGroups = new JoinedGroups();
  readonly groups4: JoinedGroups = new JoinedGroups();
  /** Frames were committed since the last flush. */
  dirty = false;
  private readonly owner: PortOwner;
  private blocked: BlockedSender[] = [];

  constructor(
    id: number,
    name: string,
    writer: FrameWriter,
    owner: PortOwner,
    guest: Guest,
    now: Instant,
    allowed: readonly AllowedAddress[],
  ) {
    this.id = id;
    this.name = name;
    this.writer = writer;
    this.owner = owner;
    this.attachedAt = now;
    this.guest = guest;
    guest.link = this;
    this.addresses = new LinkAddresses(id, allowed);
  }

  onFrame(now: Instant, frame: Frame): void {
    this.framesToHost++;
    this.bytesToHost += frame.len;
    try {
      this.owner.onPortFrame(now, this, frame);
    } catch (fault) {
      reportFault('frame', fault); // the frame is lost
    }
  }

  onBatchEnd(now: Instant): void {
    try {
      this.owner.onPortBatchEnd(now);
    } catch (fault) {
      reportFault('batch', fault);
    }
  }

  onWritable(now: Instant): void {
    const waiting = this.blocked;
    this.blocked = [];
    for (const sender of waiting) sender.onLinkWritable(now);
    this.owner.onPortBatchEnd(now);
  }

  onLinkDown(now: Instant): void {
    if (!this.up) return;
    this.up = false;
    const waiting = this.blocked;
    this.blocked = [];
    this.owner.onPortDown(now, this);
    for (const sender of waiting) sender.onLinkWritable(now); // they wait for the guest's return now
  }

  groupsOf(family: 4 | 6): JoinedGroups {
    return family === 4 ? this.groups4 : this.groups;
  }

  forgetDst(): void {
    this.lastDst = -1;
    this.dstPort = undefined;
  }

  /** Have `sender` called once, when the link drains. It must not wait twice. */
  waitForSpace(sender: BlockedSender): void {
    this.blocked.push(sender);
  }

  /** Count the frame that was just committed. */
  sent(len: number): void {
    this.framesToGuest++;
    this.bytesToGuest += len;
    this.dirty = true;
  }

  flush(): void {
    if (!this.dirty) return;
    this.dirty = false;
    this.writer.flush();
  }
}
