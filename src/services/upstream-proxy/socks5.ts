/** SOCKS version 5 (RFC 1928), with the method of user name and password (RFC 1929): messages of its client. */
import type { IpAddress } from '../../base/ip-address.ts';
import { parseAddress } from '../address-text.ts';
import { ByteCursor } from '../sniff/byte-cursor.ts';
import { Gathered } from '../sniff/gathered.ts';
import { type Handshake, type HandshakeStep, proxyFailure } from './handshake.ts';
import { type ProxyCredentials, type ProxyTarget, utf8 } from './proxy-server.ts';

const VERSION = 5;
const NO_AUTHENTICATION = 0;
const USER_PASSWORD = 2;
const NONE_ACCEPTABLE = 0xff;
const AUTHENTICATION_VERSION = 1;
const IPV4 = 1;
const DOMAIN = 3;
const IPV6 = 4;
/** The longest reply, with a name. */
const MAX_REPLY = 4 + 1 + 255 + 2;

export const SOCKS_CONNECT = 1;
export const SOCKS_UDP_ASSOCIATE = 3;
export type SocksCommand = typeof SOCKS_CONNECT | typeof SOCKS_UDP_ASSOCIATE;

/** RFC 1928 §6, as the system has it for a connect that fails so. */
const REPLIES: Readonly<Record<number, readonly [code: string, text: string]>> = {
  1: ['EHOSTUNREACH', 'general failure'],
  2: ['EACCES', 'not allowed by its rules'],
  3: ['ENETUNREACH', 'network unreachable'],
  4: ['EHOSTUNREACH', 'host unreachable'],
  5: ['ECONNREFUSED', 'connection refused'],
  6: ['EHOSTUNREACH', 'time to live expired'],
  7: ['EOPNOTSUPP', 'command not supported'],
  8: ['EAFNOSUPPORT', 'type of address not supported'],
};

/** `ATYP`, the address, and the port. @param host a name or an address */
export function socksAddress({ host, port }: ProxyTarget): Uint8Array {
  const address = parseAddress(host);
  const body = address === undefined ? nameBytes(host) : addressBytes(address);
  const bytes = new Uint8Array(body.length + 2);
  bytes.set(body);
  bytes.set([port >> 8, port & 0xff], body.length);
  return bytes;
}

function addressBytes({ family, a, b, c, d }: IpAddress): Uint8Array {
  const words = family === 4 ? [d] : [a, b, c, d];
  const bytes = words.flatMap((word) => [
    word >>> 24,
    (word >>> 16) & 255,
    (word >>> 8) & 255,
    word & 255,
  ]);
  return Uint8Array.of(family === 4 ? IPV4 : IPV6, ...bytes);
}

function nameBytes(name: string): Uint8Array {
  const bytes = utf8(name).subarray(0, 255);
  return Uint8Array.of(DOMAIN, bytes.length, ...bytes);
}

type State = 'method' | 'authentication' | 'reply';

export class Socks5Handshake implements Handshake {
  readonly hello: Uint8Array;
  /** Of the reply: where the proxy relays datagrams. */
  bound: ProxyTarget | undefined = undefined;
  private readonly command: SocksCommand;
  private readonly target: ProxyTarget;
  private readonly credentials: ProxyCredentials | undefined;
  private readonly gathered = new Gathered(MAX_REPLY);
  private state: State = 'method';

  constructor(
    target: ProxyTarget,
    credentials: ProxyCredentials | undefined,
    command: SocksCommand = SOCKS_CONNECT,
  ) {
    this.target = target;
    this.credentials = credentials;
    this.command = command;
    const methods =
      credentials === undefined ? [NO_AUTHENTICATION] : [NO_AUTHENTICATION, USER_PASSWORD];
    this.hello = Uint8Array.of(VERSION, methods.length, ...methods);
  }

  push(bytes: Uint8Array, from: number, to: number): HandshakeStep {
    for (let at = from; at < to; at++) {
      this.gathered.add(bytes, at, at + 1);
      const step = this.take(at + 1);
      if (step === undefined) continue;
      this.gathered.clear();
      // A proxy does not speak before it is asked: what it has sent beyond the step is dropped with it.
      return step;
    }
    return 'more';
  }

  /** @returns undefined while the message is not whole */
  private take(at: number): HandshakeStep | undefined {
    const { bytes } = this.gathered;
    const [first = 0, second = 0] = bytes;
    const expected = this.state === 'authentication' ? AUTHENTICATION_VERSION : VERSION;
    if (first !== expected) return proxyFailure('EPROTO', 'the proxy does not speak SOCKS 5');
    switch (this.state) {
      case 'method':
        return bytes.length < 2 ? undefined : this.takeMethod(second);
      case 'authentication':
        return bytes.length < 2 ? undefined : this.takeAuthentication(second);
      case 'reply':
        return this.takeReply(bytes, second, at);
    }
  }

  private takeMethod(method: number): HandshakeStep {
    if (method === NO_AUTHENTICATION) return this.request();
    if (method === USER_PASSWORD && this.credentials !== undefined) {
      this.state = 'authentication';
      const [user, password] = [utf8(this.credentials.user), utf8(this.credentials.password)];
      return {
        send: Uint8Array.of(
          AUTHENTICATION_VERSION,
          ...[user.length, ...user],
          ...[password.length, ...password],
        ),
      };
    }
    const what =
      method === NONE_ACCEPTABLE ? 'wants another authentication' : `chose method ${method}`;
    return proxyFailure('EACCES', `the proxy ${what}`);
  }

  private takeAuthentication(status: number): HandshakeStep {
    return status === 0
      ? this.request()
      : proxyFailure('EACCES', 'the proxy does not accept the user name and password');
  }

  private request(): HandshakeStep {
    this.state = 'reply';
    return { send: Uint8Array.of(VERSION, this.command, 0, ...socksAddress(this.target)) };
  }

  private takeReply(bytes: Uint8Array, reply: number, at: number): HandshakeStep | undefined {
    if (bytes.length >= 2 && reply !== 0) {
      const [code, text] = REPLIES[reply] ?? ['EPROTO', `reply ${reply}`];
      return proxyFailure(code, `the proxy answers: ${text}`);
    }
    if (bytes.length < 4) return undefined;
    const place = readSocksAddress(bytes, 3);
    if (place === 'malformed') return proxyFailure('EPROTO', "the proxy's reply is malformed");
    if (place === 'short') return undefined;
    this.bound = place;
    return { at };
  }
}

export interface SocksPlace extends ProxyTarget {
  /** Behind it. */
  readonly end: number;
}

/** @param at of `ATYP` */
export function readSocksAddress(
  bytes: Uint8Array,
  at: number,
): SocksPlace | 'short' | 'malformed' {
  const cursor = new ByteCursor(bytes, at);
  const type = cursor.u8();
  if (type !== IPV4 && type !== IPV6 && type !== DOMAIN)
    return cursor.isSound ? 'malformed' : 'short';
  const host = type === DOMAIN ? cursor.take(cursor.u8()) : cursor.take(type === IPV4 ? 4 : 16);
  const port = cursor.u16();
  if (!cursor.isSound) return 'short';
  return { host: textOf(host, type), port, end: cursor.at };
}

function textOf(bytes: ByteCursor, type: number): string {
  if (type === DOMAIN) return bytes.text();
  const raw = bytes.rest();
  if (type === IPV4) return raw.join('.');
  const groups = Array.from(
    { length: 8 },
    (_, i) => ((raw[2 * i] ?? 0) << 8) | (raw[2 * i + 1] ?? 0),
  );
  const text = groups.map((group) => group.toString(16)).join(':');
  return parseAddress(text)?.toString() ?? text;
}

/** Of a datagram to or from a proxy (RFC 1928 §7): what comes in front of its payload. */
export function socksDatagramHeader(target: ProxyTarget): Uint8Array {
  return Uint8Array.of(0, 0, 0, ...socksAddress(target));
}

/** @returns undefined for what is malformed, or a fragment, which nobody sends */
export function readSocksDatagram(bytes: Uint8Array): SocksPlace | undefined {
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0 || bytes[2] !== 0) return undefined;
  const place = readSocksAddress(bytes, 3);
  return typeof place === 'string' ? undefined : place;
}
