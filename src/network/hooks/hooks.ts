/** What an embedding program may decide: for each flow of a guest, each name that it asks for, each client of a published port. */
import type { Duplex } from 'node:stream';

/** Who asks. Texts of guests have no control characters and no markup: those are written as `\u{1b}`. */
export interface AskingGuest {
  /** As in the list of guests. */
  readonly guestId: number;
  /** Of its lease: a claim of the guest. */
  readonly guestName: string | null;
  /** The first Ethernet address that it was heard with. */
  readonly guestMac: string | null;
}

/** A flow that a guest wants to open, and that everything else allows. */
export interface FlowRequest extends AskingGuest {
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  /** Null where it is not TCP. */
  readonly guestAddress: string | null;
  readonly guestPort: number | null;
  readonly remoteAddress: string;
  /** 0 of pings, and of Unix sockets behind an agent. */
  readonly remotePort: number;
  /** Of the remote, that the guest asked for last; null: none is known. */
  readonly name: string | null;
  /** Of the policy: what allows it. Null without one. */
  readonly rule: string | null;
}

/**
 * - `deny`: the guest has an ICMP error, administratively prohibited
 * - `redirect`: the host's socket is for `ADDRESS:PORT`, `[IPV6]:PORT` or `NAME:PORT`, which nothing else is asked about. TCP,
 *   and UDP, whose answers come from the address that the guest has asked for
 * - a Duplex: is at the other end of the guest's connection. TCP
 */
export type FlowAnswer = 'allow' | 'deny' | { readonly redirect: string } | Duplex;

/** A name that a guest asks for, which is not ours, and which the policy allows. */
export interface DnsRequest extends AskingGuest {
  /** Lower case, no trailing dot. */
  readonly name: string;
  /** `A`, `AAAA`, `HTTPS`, ... */
  readonly type: string;
}

/** - `deny`: it does not exist; a list: has these addresses, of which each type of query gets its own. */
export type DnsAnswer = 'allow' | 'deny' | readonly string[];

/** A client of a published port, of which nothing was read yet. */
export interface PublishedClientRequest {
  /** The id of the port. */
  readonly port: string;
  readonly protocol: 'tcp' | 'udp' | 'unix';
  /** Null of a Unix socket. */
  readonly clientAddress: string | null;
  readonly clientPort: number | null;
  /** That it would reach; null: it is not there, or behind an agent. */
  readonly guestAddress: string | null;
  readonly guestPort: number;
}

/**
 * Hooks are functions of the program, which answer at once or by a promise. One that throws, answers something else, or not
 * within {@link NetworkHooks.hookTimeout}, denies: that is logged and counted. A flow is shown only to the hook that destinations,
 * isolation and policy allow already; a hook cannot allow what they deny. What has a hook's answer is not asked about again
 * when a policy changes.
 */
export interface NetworkHooks {
  /**
   * Called for each TCP connection of a guest, while its SYN waits, but for those to the gateway's services and to what the program
   * itself serves; and for each destination of UDP, of pings and of channels of an agent. These are not held: where the
   * answer is a promise, they are dropped until it is there, and it holds for {@link ANSWER_HOLDS_MS}.
   */
  readonly onFlow?: ((flow: FlowRequest) => FlowAnswer | Promise<FlowAnswer>) | undefined;
  readonly onDns?: ((query: DnsRequest) => DnsAnswer | Promise<DnsAnswer>) | undefined;
  /** For each connection, and each client of a UDP port, which is treated as UDP of guests is. */
  readonly onPublishedClient?:
    | ((client: PublishedClientRequest) => 'allow' | 'deny' | Promise<'allow' | 'deny'>)
    | undefined;
  /** Milliseconds: 1 to 60000. Default: 5000. */
  readonly hookTimeout?: number | undefined;
}

export const ANSWER_HOLDS_MS = 30_000;
