/** A Downstream that writes down what it is asked, and a wait for what real sockets do. */

import { Counters } from '../../src/base/counters.ts';
import {
  KEY_GUEST,
  KEY_REMOTE,
  makeKey,
  setKeyAddress,
  setKeyPorts,
} from '../../src/base/flow-key.ts';
import { type IpAddress, ipv4 } from '../../src/base/ip-address.ts';
import { Budget } from '../../src/base/shares/budget.ts';
import { slabOver } from '../../src/base/slab.ts';
import type { Clock, Instant } from '../../src/base/time.ts';
import { AddressMap, type AddressMapConfig } from '../../src/proxy/address-map.ts';
import type { Block } from '../../src/proxy/flows/destination.ts';
import { Destinations } from '../../src/proxy/flows/destinations.ts';
import { FlowBook } from '../../src/proxy/flows/flow-book.ts';
import type { FlowGate } from '../../src/proxy/flows/flow-gate.ts';
import { parseAddress, parsePrefix } from '../../src/services/address-text.ts';
import type {
  Datagram,
  Downstream,
  EchoId,
  EchoRequest,
  FlowId,
  NetworkError,
  TcpFlow,
} from '../../src/stack/flow.ts';
import type { Guest } from '../../src/stack/guest.ts';
import { testGuest } from '../support/test-guest.ts';

export function ip(text: string): IpAddress {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`not an address: ${text}`);
  return address;
}

export const GUEST: IpAddress = ipv4(0xc0a8_7f02);
export const GATEWAY: IpAddress = ipv4(0xc0a8_7f01);
export const HOST: IpAddress = ipv4(0xc0a8_7ffe);
export const GUEST6: IpAddress = ip('fd12:3456::2');
export const GATEWAY6: IpAddress = ip('fd12:3456::1');
export const HOST6: IpAddress = ip('fd12:3456::254');

/** Of guests with IPv6 too. */
export const SIX: Pick<AddressMapConfig, 'subnet6' | 'gateway6' | 'host6'> = {
  subnet6: parsePrefix('fd12:3456::/64'),
  gateway6: GATEWAY6,
  host6: HOST6,
};

export function addressMap(changes: Partial<AddressMapConfig> = {}): AddressMap {
  const subnet = parsePrefix('192.168.127.0/24');
  if (subnet === undefined) throw new Error('subnet');
  return new AddressMap({ subnet, gateway: GATEWAY, host: HOST, ...changes });
}

export function destinations(
  addresses: AddressMap = addressMap(),
  isOwnListener: (address: string, port: number) => boolean = () => false,
  onBlock?: (block: Block) => void,
  gate?: FlowGate,
): Destinations {
  return new Destinations({
    ...{ addresses, isOwnListener, refusals: new Counters(), gate },
    ...(onBlock === undefined ? {} : { onBlock }),
  });
}

export interface SentDatagram {
  readonly from: string;
  readonly to: string;
  readonly bytes: Buffer;
}

export interface SentError {
  /** `guest:port > remote:port` or `guest > remote #identifier/sequence` */
  readonly about: string;
  readonly error: NetworkError;
  readonly from: string;
  readonly payloadLen: number;
}

export interface SentReply {
  readonly guest: string;
  readonly remote: string;
  readonly identifier: number;
  readonly sequence: number;
  readonly bytes: Buffer;
}

const text = (id: FlowId): string => `${id.guest}:${id.guestPort} > ${id.remote}:${id.remotePort}`;

export class RecordingDownstream implements Downstream {
  ownerOf(): Guest {
    return OWNER;
  }

  isThere(guest: IpAddress): boolean {
    return !this.away.has(`${guest}`);
  }

  /** Guests' addresses that nobody has. */
  readonly away: Set<string> = new Set();
  readonly datagrams: SentDatagram[] = [];
  readonly errors: SentError[] = [];
  readonly replies: SentReply[] = [];
  flushes = 0;

  dial(): TcpFlow | undefined {
    return undefined;
  }

  sendDatagram(_now: Instant, id: FlowId, bytes: Uint8Array, off: number, len: number): boolean {
    this.datagrams.push({
      from: `${id.remote}:${id.remotePort}`,
      to: `${id.guest}:${id.guestPort}`,
      bytes: Buffer.from(bytes.slice(off, off + len)),
    });
    return true;
  }

  sendEchoReply(
    _now: Instant,
    { guest, remote, identifier, sequence }: EchoId,
    bytes: Uint8Array,
    off: number,
    len: number,
  ): boolean {
    this.replies.push({
      guest: `${guest}`,
      remote: `${remote}`,
      identifier,
      sequence,
      bytes: Buffer.from(bytes.slice(off, off + len)),
    });
    return true;
  }

  sendUdpError(
    _now: Instant,
    id: FlowId,
    error: NetworkError,
    from: IpAddress,
    payloadLen: number,
  ): void {
    this.errors.push({ about: text(id), error, from: `${from}`, payloadLen });
  }

  sendEchoError(
    _now: Instant,
    { guest, remote, identifier, sequence }: EchoId,
    error: NetworkError,
    from: IpAddress,
  ): void {
    const about = `${guest} > ${remote} #${identifier}/${sequence}`;
    this.errors.push({ about, error, from: `${from}`, payloadLen: 0 });
  }

  flush(): void {
    this.flushes++;
  }
}

/** Of everything that a test opens. */
export const flowBook = (): FlowBook => new FlowBook(new TestClock());

export class TestClock implements Clock {
  time = 1000;
  now(): Instant {
    return this.time;
  }
  wakeAt(): void {}
}

/** Of all that a test sends as a guest. */
export const OWNER: Guest = testGuest();

/** Descriptors enough. */
export const SOCKETS: Budget = new Budget('sockets', 1 << 16);

export function datagram(
  guestPort: number,
  remote: string,
  remotePort: number,
  payload: Uint8Array,
  ttl = 64,
  guest: IpAddress = GUEST,
): Datagram {
  const key = makeKey();
  setKeyAddress(key, KEY_GUEST, guest);
  setKeyAddress(key, KEY_REMOTE, ip(remote));
  setKeyPorts(key, guestPort, remotePort);
  return {
    key,
    owner: OWNER,
    guestPort,
    remotePort,
    slab: slabOver(payload),
    off: 0,
    len: payload.length,
    ttl,
  };
}

export function echoRequest(
  identifier: number,
  sequence: number,
  remote: string,
  payload: Uint8Array,
  ttl = 64,
  guest: IpAddress = GUEST,
): EchoRequest {
  const key = makeKey();
  setKeyAddress(key, KEY_GUEST, guest);
  setKeyAddress(key, KEY_REMOTE, ip(remote));
  return {
    key,
    owner: OWNER,
    identifier,
    sequence,
    slab: slabOver(payload),
    off: 0,
    len: payload.length,
    ttl,
  };
}

/** Let the event loop turn until `condition` holds. It gives up, since mocha waits for it to end. */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never came true: ${condition}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
