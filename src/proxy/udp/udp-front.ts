/**
 * The host's side of a published UDP port. Its clients may be connected sockets, which accept answers only from the
 * address that they sent to; a socket on a wildcard answers from the host's primary one.
 *
 * So with native calls a wildcard is one socket that reports the destination of each datagram
 * ({@link NativeFront}), and without them a socket for each address of the host ({@link NodeFront}): then
 * addresses that are added and removed are followed with a short delay, and addresses of 127.0.0.0/8 other than the
 * interface's are not served.
 */
import type { RemoteInfo } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { assert } from '../../base/assert.ts';
import { copyBytes } from '../../base/copy-bytes.ts';
import { reportFault } from '../../base/faults.ts';
import type { IpAddress } from '../../base/ip-address.ts';
import { EAGAIN } from '../../native/constants.ts';
import { sourceControl } from '../../native/datagram-reader.ts';
import { errorCode } from '../../native/errors.ts';
import type { DatagramReader, Posix } from '../../native/posix.ts';
import { sockaddrAddress, sockaddrPort } from '../../native/sockaddr.ts';
import { type Watch, watchReadable } from '../../native/watch.ts';
import { parseAddress } from '../../services/address-text.ts';
import { closeQuietly, type HostSocket, openHostSocket } from './host-socket.ts';
import { type HostTarget, hostTarget } from './host-target.ts';
import { Outbox, type Outboxes, type Sender } from './outbox.ts';

export type FrontCalls = Pick<Posix, 'openDatagramSocket' | 'reportDestinations'>;

/** The sender of a datagram, and the host's address that it was sent to. */
export interface FrontPeer {
  readonly address: string;
  readonly port: number;
  /** For answers from the address that the client sent to. */
  readonly target: HostTarget;
  readonly outbox: Outbox;
  /** Undefined where native calls receive. */
  readonly host: HostSocket | undefined;
}

export interface FrontOwner extends Sender {
  /**
   * A datagram: `len` bytes at `off` of `bytes`, borrowed for the call.
   *
   * @param key the same for the same peer and address of the host
   * @param peer returns that peer; to be called within the call
   */
  onMessage(key: string, bytes: Uint8Array, off: number, len: number, peer: () => FrontPeer): void;
  onReceiveError(): void;
  /** `onMessage` threw for this peer, which was reported: end what there is between it and the guest. */
  onFault(key: string): void;
}

export interface FrontDeps {
  readonly outboxes: Outboxes;
  /** Undefined without native calls. Asked for a wildcard only. */
  readonly native: { readonly posix: FrontCalls | undefined };
  readonly reader: () => DatagramReader | undefined;
}

export interface UdpFront {
  /** The port bound. */
  readonly port: number;
  close(): void;
}

const ANY = { 4: '0.0.0.0', 6: '::' } as const;

/**
 * @param address undefined: every address of both families
 * @returns the system's code when no socket can be opened (`EADDRINUSE`, `EMFILE`, ...)
 */
export function openUdpFront(
  address: IpAddress | undefined,
  port: number,
  deps: FrontDeps,
  owner: FrontOwner,
): UdpFront | string {
  if (address !== undefined) {
    return isAny(address)
      ? openWildcard([address.family], port, deps, owner)
      : new NodeFront(deps, owner, [], address.toString()).open(port);
  }
  const both = openWildcard([6, 4], port, deps, owner);
  return both === 'EAFNOSUPPORT' || both === 'EADDRNOTAVAIL'
    ? openWildcard([4], port, deps, owner)
    : both;
}

/**
 * The same over an inherited socket that is bound already. Without native calls it answers from the address
 * that the kernel chooses.
 *
 * @param fd it belongs to the front from now on
 */
export function adoptUdpFront(
  fd: number,
  address: IpAddress,
  port: number,
  deps: FrontDeps,
  owner: FrontOwner,
): UdpFront | string {
  const { family } = address;
  const posix = isAny(address) ? deps.native.posix : undefined;
  const reader = posix === undefined ? undefined : deps.reader();
  if (posix === undefined || reader === undefined) {
    return new NodeFront(deps, owner, [], address.toString(), fd).open(port);
  }
  try {
    posix.reportDestinations(fd, family);
    return new NativeFront(deps, owner, reader, family, { fd, port });
  } catch (error) {
    return error instanceof Error ? errorCode(error) : 'EIO';
  }
}

const isAny = ({ a, b, c, d, family }: IpAddress): boolean =>
  d === 0 && (family === 4 || (a | b | c) === 0);

function openWildcard(
  families: readonly (4 | 6)[],
  port: number,
  deps: FrontDeps,
  owner: FrontOwner,
): UdpFront | string {
  const { posix } = deps.native;
  const reader = posix === undefined ? undefined : deps.reader();
  const [family = 4] = families;
  const address = parseAddress(ANY[family]);
  if (posix === undefined || reader === undefined || address === undefined) {
    return new NodeFront(deps, owner, families, undefined).open(port);
  }
  try {
    const bound = posix.openDatagramSocket(address, port, families.length > 1);
    return new NativeFront(deps, owner, reader, family, bound);
  } catch (error) {
    return error instanceof Error ? errorCode(error) : 'EIO';
  }
}

/** `sockaddr_in6` and an IPv6 address. */
const KEY_NAME = 28;
const KEY_LEN = KEY_NAME + 16;
const KEY = Buffer.alloc(KEY_LEN);
const KEY_VIEW = new DataView(KEY.buffer, KEY.byteOffset, KEY_LEN);

/** Calls of the kernel in a row, then it is somebody else's turn. */
const ROUNDS = 8;

class NativeFront implements UdpFront {
  readonly port: number;
  private readonly owner: FrontOwner;
  private readonly reader: DatagramReader;
  private readonly family: 4 | 6;
  private readonly watch: Watch;
  private readonly outbox: Outbox;
  private readonly local: Int32Array = new Int32Array(4);
  private index = 0;
  private closed = false;

  constructor(
    { outboxes }: FrontDeps,
    owner: FrontOwner,
    reader: DatagramReader,
    family: 4 | 6,
    { fd, port }: { readonly fd: number; readonly port: number },
  ) {
    this.owner = owner;
    this.reader = reader;
    this.family = family;
    this.port = port;
    this.outbox = new Outbox(outboxes, { fd, socket: undefined }, owner);
    this.watch = watchReadable(fd, () => this.onReadable());
  }

  close(): void {
    if (this.closed) return;
    this.outbox.flush();
    this.closed = true;
    this.outbox.close();
    this.watch.close();
  }

  private onReadable(): void {
    const { reader, owner } = this;
    for (let round = 0; round < ROUNDS && !this.closed; round++) {
      const got = reader.receive(this.watch.fd);
      if (got < 0 && got !== -EAGAIN) owner.onReceiveError();
      this.onReceived(got);
      if (got < reader.capacity) return;
    }
  }

  private onReceived(got: number): void {
    const { reader, owner } = this;
    for (let i = 0; i < got && !this.closed; i++) {
      // RFC 768: a datagram from port 0 wants no answer, and none can be sent to that port.
      if (sockaddrPort(reader.names.view, reader.nameOff(i)) === 0) continue;
      this.index = i;
      reader.local(i, this.local);
      const key = this.keyOf(i);
      try {
        owner.onMessage(key, reader.bytes, reader.off(i), reader.len(i), this.peer);
      } catch (fault) {
        reportFault('datagram', fault);
        owner.onFault(key);
      }
    }
  }

  private keyOf(i: number): string {
    const { reader, local } = this;
    copyBytes(reader.names.bytes, reader.nameOff(i), KEY, 0, KEY_NAME);
    for (let word = 0; word < 4; word++) KEY_VIEW.setInt32(KEY_NAME + word * 4, local[word] ?? 0);
    return KEY.toString('latin1', this.family === 4 ? 2 : 0, KEY_LEN);
  }

  private readonly peer = (): FrontPeer => {
    const { reader, index, family } = this;
    const { bytes, view } = reader.names;
    const off = reader.nameOff(index);
    const address = sockaddrAddress(view, off)?.toString() ?? '';
    const port = sockaddrPort(view, off);
    const name = bytes.slice(off, off + reader.nameLen(index));
    const source = sourceControl(this.local, family);
    return {
      address,
      port,
      target: { address, port, name, source, joinsShort: true },
      outbox: this.outbox,
      host: undefined,
    };
  };
}

/** How often the host's addresses are read. */
const FOLLOW_MS = 2_000;
/** For a port that is free at every address. */
const PORT_TRIES = 8;

class NodeFront implements UdpFront {
  port = 0;
  private readonly deps: FrontDeps;
  private readonly owner: FrontOwner;
  private readonly families: readonly (4 | 6)[];
  /** The only address; undefined: those of the host. */
  private readonly only: string | undefined;
  /** Bound there already. */
  private readonly fd: number | undefined;
  private readonly sockets = new Map<string, { host: HostSocket; outbox: Outbox }>();
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor(
    deps: FrontDeps,
    owner: FrontOwner,
    families: readonly (4 | 6)[],
    only: string | undefined,
    fd?: number,
  ) {
    this.deps = deps;
    this.owner = owner;
    this.families = families;
    this.only = only;
    this.fd = fd;
  }

  open(port: number): this | string {
    let failure = 'EADDRNOTAVAIL';
    for (let attempt = 0; attempt < (port === 0 ? PORT_TRIES : 1); attempt++) {
      this.port = port;
      const failed = this.addresses().map((address) => this.add(address));
      failure = failed.find((code) => code === 'EADDRINUSE') ?? failed[0] ?? failure;
      if (this.sockets.size > 0 && !failed.includes('EADDRINUSE')) {
        if (this.only === undefined) {
          this.timer = setInterval(() => this.follow(), FOLLOW_MS);
          this.timer.unref();
        }
        return this;
      }
      this.close();
    }
    return failure;
  }

  close(): void {
    clearInterval(this.timer);
    for (const address of [...this.sockets.keys()]) this.remove(address);
  }

  private addresses(): readonly string[] {
    if (this.only !== undefined) return [this.only];
    return Object.entries(networkInterfaces()).flatMap(([ifName, entries = []]) =>
      entries
        .filter(({ family }) => this.families.includes(family === 'IPv4' ? 4 : 6))
        .map(({ address }) => (address.startsWith('fe80:') ? `${address}%${ifName}` : address)),
    );
  }

  private follow(): void {
    const now = new Set(this.addresses());
    for (const address of [...this.sockets.keys()]) if (!now.has(address)) this.remove(address);
    for (const address of now) if (!this.sockets.has(address)) this.add(address);
  }

  /** @returns '' or the system's code */
  private add(address: string): string {
    const { owner } = this;
    const family = address.includes(':') ? 6 : 4;
    let sender: RemoteInfo | undefined;
    const peer = (): FrontPeer => this.peerAt(address, sender);
    const suffix = this.only === undefined ? ` ${address}` : '';
    const host = openHostSocket(
      { family, address, port: this.port, ...(this.fd === undefined ? {} : { fd: this.fd }) },
      {
        onMessage: (bytes, from) => {
          if (from.port === 0) return; // as above
          sender = from;
          const key = `${from.port} ${from.address}${suffix}`;
          try {
            owner.onMessage(key, bytes, 0, bytes.length, peer);
          } catch (fault) {
            reportFault('datagram', fault);
            owner.onFault(key);
          }
        },
        onReceiveError: () => owner.onReceiveError(),
        onFault: () => {}, // an error's: it is no peer's
      },
    );
    if (typeof host === 'string') return host;
    this.port = host.socket.address().port;
    this.sockets.set(address, { host, outbox: new Outbox(this.deps.outboxes, host, owner) });
    return '';
  }

  private remove(address: string): void {
    const socket = this.sockets.get(address);
    if (socket === undefined) return;
    this.sockets.delete(address);
    socket.outbox.flush();
    socket.outbox.close();
    closeQuietly(socket.host.socket);
  }

  private peerAt(local: string, sender: RemoteInfo | undefined): FrontPeer {
    const socket = this.sockets.get(local);
    assert(socket !== undefined && sender !== undefined, 'a datagram came to an open socket');
    const { address, port } = sender;
    const target = hostTarget(address, port, socket.host.family);
    return { address, port, target, outbox: socket.outbox, host: socket.host };
  }
}
