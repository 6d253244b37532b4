/** The links of a running network: those of its options, and those attached later. */
import type { Duplex } from 'node:stream';
import * as z from 'zod';
import type { Log } from '../base/log.ts';
import { once } from '../base/once.ts';
import type { OwnListeners } from '../proxy/own-listeners.ts';
import type { LinkAcceptor } from '../stack/link.ts';
import { AttachedStream, streamOf } from '../transports/attached-stream.ts';
import { type FrameObserver, TappedAcceptor } from '../transports/capture/tapped-acceptor.ts';
import { openDescriptorLink } from '../transports/descriptor-link.ts';
import {
  FrameLink,
  type PlainFrameReader,
  type PlainFrameWriter,
} from '../transports/frame-link.ts';
import {
  type Framing,
  isStreamFraming,
  STREAM_FRAMINGS,
  type StreamFramingName,
} from '../transports/framing.ts';
import {
  type EndingLink,
  type LinkContext,
  LinkError,
  type OpenLink,
} from '../transports/link-context.ts';
import { listensAt, parseLinkSpec } from '../transports/link-spec.ts';
import { MemoryLink } from '../transports/memory-link.ts';
import { openLink } from '../transports/open-link.ts';
import { programFraming } from '../transports/program-framing.ts';
import type { Mac } from '../wire/mac.ts';
import { problemText, readArgument } from './call-arguments.ts';

/** How frames are delimited in a stream of bytes: like QEMU's, VPNKit's (`hyperkit` is the same), or by a {@link Framing}. */
export type StreamFraming = StreamFramingName | Framing;

/**
 * The same, or of a descriptor that moves one frame a call (TAP, packet socket, `SOCK_SEQPACKET`), without headers or
 * with virtio-net ones of 10 bytes (`IFF_VNET_HDR`).
 */
export type DescriptorFraming = StreamFraming | 'packet' | 'packet-vnet';

export interface AttachOptions<F> {
  /** Default: `qemu`. */
  readonly framing?: F | undefined;
  /** For logs and views. Default: the kind of link, and a number. */
  readonly name?: string | undefined;
}

/** A link attached by the embedding program. */
export interface Attachment {
  readonly name: string;
  /** Resolves when the link has ended, whichever side ended it. */
  readonly closed: Promise<void>;
  /** End the link; its guests may reattach on another. Resolves with {@link closed}. */
  detach(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface FrameAttachment extends Attachment {
  /** Takes the guests' frames from the program. */
  readonly reader: PlainFrameReader;
}

export interface LinksDeps {
  readonly context: LinkContext;
  readonly ownListeners: OwnListeners;
  readonly log: Log;
  /** The stack's own Ethernet address. */
  readonly ours: Mac;
}

export class Links {
  private readonly deps: LinksDeps;
  private context: LinkContext;
  private readonly open: OpenLink[] = [];
  private nextSerial = 1;
  private isClosed = false;

  constructor(deps: LinksDeps) {
    this.deps = deps;
    this.context = deps.context;
  }

  [Symbol.iterator](): Iterator<OpenLink> {
    return this.open.values();
  }

  /** Frame bytes carried so far. */
  get carried(): number {
    return this.open.reduce((sum, { stats }) => sum + stats.bytesToHost + stats.bytesToGuest, 0);
  }

  /** Show the observer each frame of the links that are opened from now on. */
  observe(observer: FrameObserver): void {
    const { acceptor, clock } = this.context;
    const tapped = new TappedAcceptor(acceptor, observer, this.deps.ours, () => clock.now());
    this.context = { ...this.context, acceptor: tapped };
  }

  /** @throws LinkInUseError, LinkError, NativeUnavailableError, PosixError */
  async listen(text: string): Promise<void> {
    const link = await openLink(parseLinkSpec(text), this.context);
    this.open.push(link);
    const at = listensAt(parseLinkSpec(link.description));
    if (at !== undefined && 'host' in at) this.deps.ownListeners.add(at.host, at.port);
  }

  attachStream(stream: Duplex, given: AttachOptions<StreamFraming>): Attachment {
    const { framing, name } = readOptions(attachSchema(), given);
    const description = this.nameOf('stream', name);
    const { context } = this;
    const how = this.framingOf(framing, description);
    const source = streamOf(stream, description);
    return this.add(new AttachedStream(source, how, description, context));
  }

  /** @param server whose connections share one part of every budget */
  attachConnection(stream: Duplex, framing: StreamFraming, server: string): Attachment {
    const description = this.nameOf(server);
    const { context } = this;
    const how = this.framingOf(framing, description);
    const source = streamOf(stream, description);
    return this.add(new AttachedStream(source, how, description, context, server));
  }

  attachDescriptor(fd: number, given: AttachOptions<DescriptorFraming>): Attachment {
    const { framing = 'qemu', name } = readOptions(attachSchema(), given);
    const description = this.nameOf('fd', name);
    if (!Number.isInteger(fd) || fd < 0) {
      throw new LinkError(`cannot attach ${description}: ${fd} is not a descriptor`);
    }
    const isPacket = framing === 'packet' || framing === 'packet-vnet';
    const how = isPacket ? framing : this.framingOf(framing, description);
    return this.add(openDescriptorLink(fd, how, description, this.context));
  }

  attachWriter(writer: PlainFrameWriter, given: AttachOptions<never>): FrameAttachment {
    const { name } = readOptions(nameSchema(), given);
    const description = this.nameOf('frames', name);
    const problem = writerProblem(writer);
    if (problem !== undefined) throw new LinkError(`cannot attach ${description}: ${problem}`);
    const link = new FrameLink(writer, description, this.context);
    return Object.assign(this.add(link), { reader: link });
  }

  /** Serve the guests of another segment in this process. */
  attachSegment(guest: LinkAcceptor, description: string): void {
    this.open.push(new MemoryLink(guest, description, this.context));
  }

  async close(): Promise<void> {
    this.isClosed = true;
    for (const link of this.open.splice(0)) await link.close();
  }

  /** @throws LinkError */
  private nameOf(kind: string, name?: string): string {
    const description = name ?? `${kind}#${this.nextSerial++}`;
    if (this.isClosed) {
      throw new LinkError(`cannot attach ${description}: the network is closed`);
    }
    return description;
  }

  /** @throws LinkError */
  private framingOf(framing: DescriptorFraming = 'qemu', description: string): Framing {
    if (typeof framing === 'string' && isStreamFraming(framing)) return STREAM_FRAMINGS[framing];
    const checked = programFraming(framing, description, this.deps.log);
    if (typeof checked === 'string') {
      throw new LinkError(`cannot attach ${description}: ${checked}`);
    }
    return checked;
  }

  private add(link: EndingLink): Attachment {
    this.open.push(link);
    const closed = link.closed.then(() => {
      const at = this.open.indexOf(link);
      if (at >= 0) this.open.splice(at, 1);
    });
    const detach = async (): Promise<void> => {
      await link.close();
      await closed;
    };
    return { name: link.description, closed, detach, [Symbol.asyncDispose]: detach };
  }
}

// The arguments of programs without types are checked.

const nameSchema = once(() => z.strictObject({ name: z.string(A_NAME).min(1, A_NAME).optional() }));

/** Its framing is checked by whoever uses it. */
const attachSchema = once(() =>
  nameSchema().extend({ framing: z.custom<DescriptorFraming>().optional() }),
);

const A_NAME = 'must be a text that is not empty';

/** @throws LinkError */
function readOptions<T>(schema: z.ZodType<T>, given: unknown): T {
  const read = readArgument(schema, given, 'its options');
  if ('value' in read) return read.value;
  throw new LinkError(`cannot attach a link: ${problemText(read.problems)}`);
}

function writerProblem(writer: unknown): string | undefined {
  const isObject = typeof writer === 'object' && writer !== null;
  if (!isObject || typeof Reflect.get(writer, 'write') !== 'function') {
    return 'it is neither a Duplex, nor a descriptor, nor an object with a function "write"';
  }
  return ['function', 'undefined'].includes(typeof Reflect.get(writer, 'flush'))
    ? undefined
    : 'its "flush" is not a function';
}
