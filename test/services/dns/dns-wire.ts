/** Queries and replies for tests, made by dns-packet: an encoder independent of the code under test. */
import {
  type Answer,
  type DecodedPacket,
  decode,
  encode,
  RECURSION_DESIRED,
  type RecordType,
} from 'dns-packet';
import { parseAddress } from '../../../src/services/address-text.ts';
import { type DnsQuery, readQuery } from '../../../src/services/dns/message.ts';

/** A type that dns-packet knows by its number alone. */
export const HTTPS = 'UNKNOWN_65' as RecordType;

export interface QueryOptions {
  readonly id?: number;
  readonly flags?: number;
  /** Announced size; makes an OPT record. */
  readonly udpSize?: number;
  readonly dnssecOk?: boolean;
  readonly cookie?: boolean;
}

export function queryBytes(
  name: string,
  type: RecordType = 'A',
  options: QueryOptions = {},
): Uint8Array {
  const { id = 1, flags = RECURSION_DESIRED, udpSize, dnssecOk = false, cookie = false } = options;
  const additionals: Answer[] =
    udpSize === undefined
      ? []
      : [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: udpSize,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: dnssecOk ? 0x8000 : 0,
            flag_do: dnssecOk,
            options: cookie ? [{ code: 12, length: 8 }] : [],
          },
        ];
  return Uint8Array.from(
    encode({ type: 'query', id, flags, questions: [{ type, name }], additionals }),
  );
}

export function query(name: string, type?: RecordType, options?: QueryOptions): DnsQuery {
  const read = readQuery(queryBytes(name, type, options));
  if (typeof read === 'string') throw new Error(read);
  return read;
}

export interface ReplyOptions {
  readonly rcode?: number;
  readonly flags?: number;
  readonly answers?: Answer[];
  readonly authorities?: Answer[];
  readonly additionals?: Answer[];
}

/** A reply to the message `asked`, with its id and question. */
export function replyBytes(asked: Uint8Array, options: ReplyOptions = {}): Uint8Array {
  const { id = 0, questions = [] } = unpack(asked);
  const { rcode = 0, flags = 0x180, answers = [], authorities = [], additionals = [] } = options;
  return Uint8Array.from(
    encode({
      type: 'response',
      id,
      flags: flags | rcode,
      questions,
      answers,
      authorities,
      additionals,
    }),
  );
}

export const a = (name: string, data: string, ttl = 300): Answer => ({
  type: 'A',
  name,
  ttl,
  data,
});

export const aaaa = (name: string, data: string, ttl = 300): Answer => ({
  type: 'AAAA',
  name,
  ttl,
  data,
});

/** With a priority, the name itself, and parameters (RFC 9460 §2.2): alpn, hints. */
export function https(name: string, ipv4?: string, ipv6?: string): Answer {
  const parameters: Uint8Array[] = [Buffer.of(0, 1, 0, 3, 2, 0x68, 0x32)];
  if (ipv4 !== undefined) parameters.push(Buffer.of(0, 4, 0, 4), addressBytes(ipv4).subarray(12));
  if (ipv6 !== undefined) parameters.push(Buffer.of(0, 6, 0, 16), addressBytes(ipv6));
  const data = Buffer.concat([Buffer.of(0, 1, 0), ...parameters]);
  return { type: HTTPS as 'NULL', name, ttl: 300, data };
}

function addressBytes(text: string): Uint8Array {
  const { a = 0, b = 0, c = 0, d = 0 } = parseAddress(text) ?? {};
  const bytes = Buffer.alloc(16);
  for (const [i, word] of [a, b, c, d].entries()) bytes.writeInt32BE(word, 4 * i);
  return bytes;
}

export const soa = (name: string, ttl: number, minimum: number): Answer => ({
  type: 'SOA',
  name,
  ttl,
  data: { mname: 'm', rname: 'r', serial: 1, refresh: 2, retry: 3, expire: 4, minimum },
});

export const unpack = (bytes: Uint8Array): DecodedPacket => decode(Buffer.from(bytes));
export const flagsOf = (bytes: Uint8Array): number => ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0);
export const rcodeOf = (bytes: Uint8Array): number => (bytes[3] ?? 0) & 15;

/** The data of the answers, as text. */
export const dataOf = (bytes: Uint8Array | undefined): string[] =>
  bytes === undefined
    ? []
    : (unpack(bytes).answers ?? []).map((answer) => ('data' in answer ? String(answer.data) : ''));
