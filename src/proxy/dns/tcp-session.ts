/**
 * One client's DNS connection over TCP (RFC 7766): queries may be pipelined, answers come in any
 * order. Holds no socket: bytes are pushed in, framed answers go to `write`.
 */
import {
  type DnsFramingProblem,
  DnsTcpReader,
  frameDnsMessage,
} from '../../services/dns/tcp-framing.ts';
import type { Guest } from '../../stack/guest.ts';
import type { DnsForwarder } from './forwarder.ts';

/** No valid query is longer; the length field allows 65,535. */
const MAX_QUERY_LEN = 4096;
const MAX_WAITING = 64;

export type DnsSessionProblem = DnsFramingProblem | 'dns-tcp-too-many-waiting';

export class DnsTcpSession {
  /** Whole queries that came. */
  queries = 0;
  private readonly reader: DnsTcpReader;
  private waiting = 0;
  private flooded = false;
  private closed = false;

  /** @param write may keep the bytes that it is given; never called after {@link close} */
  constructor(forwarder: DnsForwarder, owner: Guest, write: (framed: Uint8Array) => void) {
    this.reader = new DnsTcpReader(MAX_QUERY_LEN, (message) => {
      this.queries++;
      if (this.waiting >= MAX_WAITING) {
        this.flooded = true;
        return;
      }
      this.waiting++;
      const due = forwarder.query(message, 'tcp', owner, (reply) => {
        this.waiting--;
        if (!this.closed) write(frameDnsMessage(reply));
      });
      if (!due) this.waiting--;
    });
  }

  /** Whether the connection may be closed once the client has ended it: no answer is due. */
  get idle(): boolean {
    return this.waiting === 0;
  }

  /** @returns why to reset the connection */
  push(
    bytes: Uint8Array,
    off = 0,
    len: number = bytes.length - off,
  ): DnsSessionProblem | undefined {
    const problem = this.reader.push(bytes, off, len);
    return this.flooded ? 'dns-tcp-too-many-waiting' : problem;
  }

  close(): void {
    this.closed = true;
  }
}
