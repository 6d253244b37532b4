/** Connections between the embedding program and its guests, as Node streams. */
import type { Duplex } from 'node:stream';
import * as z from 'zod';
import type { IpAddress } from '../base/ip-address.ts';
import { once } from '../base/once.ts';
import type { Clock, Instant } from '../base/time.ts';
import type { AddressMap } from '../proxy/address-map.ts';
import { bookDuplex } from '../proxy/flows/duplex-flow.ts';
import type { FlowBook } from '../proxy/flows/flow-book.ts';
import { type StreamOrigin, tcpFacts } from '../proxy/flows/stream-facts.ts';
import { ByteDuplex, type DuplexContext, namesOf } from '../proxy/stream/byte-duplex.ts';
import type { VirtualListeners } from '../proxy/virtual-listeners.ts';
import { parseAddress } from '../services/address-text.ts';
import type { TcpRequest } from '../stack/flow.ts';
import type { Guest } from '../stack/guest.ts';
import type { Stack } from '../stack/stack.ts';
import { anyText, problemText, readArgument } from './call-arguments.ts';
import type { Guests } from './guests.ts';
import { integer } from './option-schema.ts';
import { UnreadStreams } from './unread-streams.ts';

const MAX_PORT = 65_535;
const DEFAULT_BACKLOG = 128;

const BY_PROGRAM: StreamOrigin = { openedBy: 'host', service: 'program' };
const TO_PROGRAM: StreamOrigin = { openedBy: 'guest', service: 'program' };

/** A TCP connection of a guest. The guest is the remote end; each direction ends by itself. */
export interface GuestConnection extends Duplex {
  /** The guest's. */
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
}

export interface DialOptions {
  /** 1 to 65535. */
  readonly port: number;
  /** Its address, DHCP or static-lease name, or Ethernet address. Default: the first guest, and no other. */
  readonly guest?: string | undefined;
  /** Aborts the connect. */
  readonly signal?: AbortSignal | undefined;
}

export interface ListenOptions {
  /** 1 to 65535. */
  readonly port: number;
  /** Any that is not a guest's. Default: the gateway. */
  readonly address?: string | undefined;
  /** Connections that may wait to be accepted; more are refused. Default: 128. */
  readonly backlog?: number | undefined;
}

/** Accepts connections of guests, one after the other: `for await (const connection of server)`. */
export interface GuestServer extends AsyncIterable<GuestConnection>, AsyncDisposable {
  readonly address: string;
  readonly port: number;
  /** Stop listening; accepted connections go on. */
  close(): void;
}

/** `code` is that of a socket (`ECONNREFUSED`, `EADDRINUSE`), or one of ours. */
export class GuestStreamError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'GuestStreamError';
    this.code = code;
  }
}

export interface GuestStreamsDeps {
  readonly stack: Stack;
  readonly guests: Guests;
  readonly listeners: VirtualListeners;
  readonly addressMap: AddressMap;
  readonly book: FlowBook;
  readonly gateway: IpAddress;
  readonly context: DuplexContext & { readonly clock: Pick<Clock, 'now'> };
}

export class GuestStreams {
  private readonly deps: GuestStreamsDeps;
  private readonly open = new Set<ByteDuplex>();
  readonly unread: UnreadStreams = new UnreadStreams();
  private readonly servers = new Set<Server>();
  private isClosed = false;

  constructor(deps: GuestStreamsDeps) {
    this.deps = deps;
  }

  /**
   * @param origin in the book
   * @throws GuestStreamError, StreamError
   */
  async dial(options: DialOptions, origin: StreamOrigin = BY_PROGRAM): Promise<GuestConnection> {
    const { port, guest, signal } = readOptions(dialSchema(), options, 'dial');
    const { guests, stack, context, book } = this.deps;
    this.checkOpen(`dial port ${port}`);
    signal?.throwIfAborted();
    const address = guest === undefined ? guests.first() : guests.find(guest);
    if (address === undefined) throw noGuest(guest, port);
    if (!this.isGuest(address)) {
      throw new GuestStreamError(
        'ERR_HAWSER_DIAL',
        `cannot dial ${address} port ${port}: it is no guest's address; take one of the guests' network`,
      );
    }
    const id = guests.flowTo(address, port);
    const duplex = this.track(new ByteDuplex(context, namesOf(id)));
    const flow = stack.dial(context.clock.now(), id, duplex);
    if (flow === undefined) {
      duplex.destroy();
      const why = 'its link is gone, or there are too many connections';
      throw new GuestStreamError('EHOSTUNREACH', `cannot dial ${address} port ${port}: ${why}`);
    }
    this.keepUnread(duplex, flow.owner);
    bookDuplex(book, duplex, flow.owner, () => tcpFacts(id, origin, flow));
    duplex.join(flow);
    context.flusher.schedule();
    return await connected(duplex, `${address} port ${port}`, signal);
  }

  /** @throws GuestStreamError, VirtualListenError */
  listen(options: ListenOptions): GuestServer {
    const { gateway, listeners } = this.deps;
    const read = readOptions(listenSchema(), options, 'listen');
    const { port, backlog = DEFAULT_BACKLOG, address: text = gateway.toString() } = read;
    this.checkOpen(`listen at port ${port}`);
    const address = parseAddress(text);
    if (address === undefined || this.isGuest(address)) {
      throw new GuestStreamError(
        'ERR_HAWSER_LISTEN',
        `cannot listen at ${text}: it must be the gateway's address, or one outside the guests' network`,
      );
    }
    const server: Server = new Server(address, port, backlog, () => this.servers.delete(server));
    server.stop = listeners.serve([address], port, (now, request) => {
      this.onRequest(now, request, server);
    });
    this.servers.add(server);
    return server;
  }

  close(): void {
    this.isClosed = true;
    for (const server of this.servers) server.close();
    for (const duplex of this.open) duplex.destroy();
  }

  private onRequest(now: Instant, request: TcpRequest, server: Server): void {
    if (!server.hasRoom) {
      request.refuse(now, 'refused');
      return;
    }
    const duplex = this.track(new ByteDuplex(this.deps.context, namesOf(request.id)));
    const flow = request.accept(now, duplex);
    if (flow === undefined) {
      duplex.destroy();
      return;
    }
    this.keepUnread(duplex, flow.owner);
    bookDuplex(this.deps.book, duplex, flow.owner, () => tcpFacts(request.id, TO_PROGRAM, flow));
    duplex.join(flow);
    server.push(duplex);
  }

  private track(duplex: ByteDuplex): ByteDuplex {
    this.open.add(duplex);
    duplex.once('close', () => this.open.delete(duplex));
    return duplex;
  }

  private keepUnread(duplex: ByteDuplex, owner: Guest): void {
    duplex.onOver = () => this.unread.add(owner, duplex);
  }

  private isGuest(address: IpAddress): boolean {
    return this.deps.addressMap.mayBeGuest(address);
  }

  private checkOpen(what: string): void {
    if (!this.isClosed) return;
    throw new GuestStreamError('ERR_HAWSER_CLOSED', `cannot ${what}: the network is closed`);
  }
}

const port = (): z.ZodType<number> => integer(1, MAX_PORT);

/** Of any realm. */
const isSignal = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  ['throwIfAborted', 'addEventListener', 'removeEventListener'].every(
    (name) => typeof Reflect.get(value, name) === 'function',
  );

const dialSchema = once(() =>
  z.strictObject({
    port: port(),
    guest: anyText().optional(),
    signal: z.custom<AbortSignal>(isSignal, 'must be an AbortSignal').optional(),
  }),
);

const listenSchema = once(() =>
  z.strictObject({
    port: port(),
    address: anyText().optional(),
    backlog: z.int(A_BACKLOG).min(0, A_BACKLOG).optional(),
  }),
);

const A_BACKLOG = 'must be an integer from 0 up';

/** @throws GuestStreamError */
function readOptions<T>(schema: z.ZodType<T>, given: unknown, what: 'dial' | 'listen'): T {
  const read = readArgument(schema, given);
  if ('value' in read) return read.value;
  const { problems } = read;
  const isOfPort = problems[0]?.key === 'port';
  const code = isOfPort ? 'ERR_HAWSER_PORT' : `ERR_HAWSER_${what.toUpperCase()}`;
  throw new GuestStreamError(code, `cannot ${what}: ${problemText(problems)}`);
}

function noGuest(guest: string | undefined, port: number): GuestStreamError {
  const why = guest === undefined ? 'no guest is known yet' : `no guest is known as ${guest}`;
  return new GuestStreamError('EHOSTUNREACH', `cannot dial port ${port}: ${why}`);
}

/** Its user attaches listeners in a microtask; until then a reset, which may come with the answer, is ours to hear. */
function connected(
  duplex: ByteDuplex,
  where: string,
  signal: AbortSignal | undefined,
): Promise<GuestConnection> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      duplex.destroy(new Error(`gave up to dial ${where}`, { cause: signal?.reason }));
    };
    const onEnd = (error?: Error): void => {
      signal?.removeEventListener('abort', onAbort);
      reject(signal?.aborted ? signal.reason : (error ?? closedBefore(where)));
    };
    const onClose = (): void => onEnd();
    const handOver = (): void => {
      if (duplex.destroyed) return; // its error, or its close, follows
      signal?.removeEventListener('abort', onAbort);
      duplex.off('error', onEnd);
      duplex.off('close', onClose);
      resolve(duplex);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    duplex.once('error', onEnd);
    duplex.once('close', onClose);
    duplex.once('connect', () => queueMicrotask(handOver));
  });
}

const closedBefore = (where: string): GuestStreamError =>
  new GuestStreamError('ERR_HAWSER_CLOSED', `cannot dial ${where}: the network was closed`);

const ignore = (): void => {};

class Server implements GuestServer {
  readonly address: string;
  readonly port: number;
  stop: () => void = () => {};
  private readonly backlog: number;
  private readonly onClosed: () => void;
  private readonly waiting: ByteDuplex[] = [];
  private readonly takers: ((result: IteratorResult<GuestConnection, undefined>) => void)[] = [];
  private isClosed = false;

  constructor(address: IpAddress, port: number, backlog: number, onClosed: () => void) {
    this.address = address.toString();
    this.port = port;
    this.backlog = backlog;
    this.onClosed = onClosed;
  }

  get hasRoom(): boolean {
    return !this.isClosed && this.waiting.length < this.backlog + this.takers.length;
  }

  push(connection: ByteDuplex): void {
    this.waiting.push(connection);
    connection.on('error', ignore); // reset while it waits: no listener is attached yet
    connection.once('close', () => {
      const at = this.waiting.indexOf(connection);
      if (at >= 0) this.waiting.splice(at, 1);
    });
    if (this.takers.length > 0) queueMicrotask(this.handOver);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.stop();
    for (const connection of this.waiting.splice(0)) connection.destroy();
    for (const taker of this.takers.splice(0)) taker({ done: true, value: undefined });
    this.onClosed();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  [Symbol.asyncIterator](): AsyncIterator<GuestConnection, undefined> {
    return {
      next: () => this.next(),
      return: () => {
        this.close();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  private next(): Promise<IteratorResult<GuestConnection, undefined>> {
    if (this.isClosed) return Promise.resolve({ done: true, value: undefined });
    if (this.waiting.length > 0) queueMicrotask(this.handOver);
    return new Promise((resolve) => this.takers.push(resolve));
  }

  /** In a microtask, like {@link connected}: nothing happens to a connection before its user attaches listeners. */
  private readonly handOver = (): void => {
    while (this.takers.length > 0) {
      const connection = this.waiting.shift();
      if (connection === undefined) return;
      if (connection.destroyed) continue;
      connection.off('error', ignore);
      this.takers.shift()?.({ done: false, value: connection });
    }
  };
}
