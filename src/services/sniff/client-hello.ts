/** The ClientHello of TLS (RFC 8446 §4.1.2; RFC 5246 §7.4.1.2): what a client says in the clear about where it wants to go. */
import { ByteCursor } from './byte-cursor.ts';
import { statedName } from './host-name.ts';

export interface ClientHello {
  /** In lower case; undefined when the client states none. */
  readonly serverName: string | undefined;
  /** Protocols offered (RFC 7301), of printable ASCII, the first few. */
  readonly alpn: readonly string[];
  /** An encrypted ClientHello is there, or bytes that look like one (GREASE): `serverName` is the outer one. */
  readonly hasEch: boolean;
  /** Early data may follow at once. */
  readonly hasEarlyData: boolean;
}

const SERVER_NAME = 0;
const ALPN = 16;
const EARLY_DATA = 42;
const ECH = 0xfe0d;
/** Of the drafts before ECH: the name itself encrypted. */
const ESNI = 0xffce;
const HOST_NAME = 0;
const MAX_ALPN = 16;

/**
 * @param bytes the message behind its header of four bytes, whole
 * @returns undefined when it is malformed, also where one server would read it another way than the next: two server
 *   names, an extension twice
 */
export function readClientHello(bytes: Uint8Array): ClientHello | undefined {
  const body = new ByteCursor(bytes);
  body.skip(2 + 32); // version, random
  const sessionLen = body.u8();
  body.skip(sessionLen);
  const ciphersLen = body.u16();
  body.skip(ciphersLen);
  const methodsLen = body.u8();
  body.skip(methodsLen);
  const isSound = sessionLen <= 32 && ciphersLen > 0 && ciphersLen % 2 === 0 && methodsLen > 0;
  if (!isSound || !body.isSound) return undefined;
  if (body.left === 0) return new Extensions().hello; // RFC 5246 §7.4.1.2: there may be none
  const list = body.take(body.u16());
  return body.isSpent ? readExtensions(list) : undefined;
}

class Extensions {
  serverName: string | undefined = undefined;
  alpn: readonly string[] = [];
  hasEch = false;
  hasEarlyData = false;

  get hello(): ClientHello {
    const { serverName, alpn, hasEch, hasEarlyData } = this;
    return { serverName, alpn, hasEch, hasEarlyData };
  }

  /** @returns false when it is malformed */
  read(type: number, data: ByteCursor): boolean {
    switch (type) {
      case SERVER_NAME:
        this.serverName = readServerName(data);
        return this.serverName !== undefined;
      case ALPN: {
        const alpn = readAlpn(data);
        this.alpn = alpn ?? [];
        return alpn !== undefined;
      }
      case ECH:
      case ESNI:
        this.hasEch = true;
        return true;
      case EARLY_DATA:
        this.hasEarlyData = true;
        return true;
      default:
        return true;
    }
  }
}

function readExtensions(list: ByteCursor): ClientHello | undefined {
  const extensions = new Extensions();
  const seen = new Set<number>();
  while (list.left > 0) {
    const type = list.u16();
    const data = list.take(list.u16());
    if (!data.isSound || seen.has(type) || !extensions.read(type, data)) return undefined;
    seen.add(type);
  }
  return list.isSpent ? extensions.hello : undefined;
}

/** RFC 6066 §3: a list, of which one entry is a host name, and there are no other types. */
function readServerName(data: ByteCursor): string | undefined {
  const list = data.take(data.u16());
  const type = list.u8();
  const name = list.take(list.u16());
  const isSound = data.isSpent && list.isSpent && name.isSound && type === HOST_NAME;
  return isSound && name.left > 0 ? statedName(name.text()) : undefined;
}

function readAlpn(data: ByteCursor): readonly string[] | undefined {
  const list = data.take(data.u16());
  const offered: string[] = [];
  while (list.left > 0) {
    const name = list.take(list.u8());
    if (!name.isSound || name.left === 0) return undefined;
    const text = name.text();
    if (offered.length < MAX_ALPN && /^[\x21-\x7e]+$/.test(text)) offered.push(text);
  }
  return data.isSpent && list.isSpent ? offered : undefined;
}
