/**
 * The names that guests have asked for, over a restart of the daemon and over the end of a link: a guest is known again by
 * its link's name and its Ethernet address, and by nothing that it could choose alone. In a JSON file beside that of the
 * leases, written now and then and at the end. What cannot be read costs guests a lookup, not their network.
 */
import { dirname } from 'node:path';
import * as z from 'zod';
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import { FileClaim } from '../native/file-claim.ts';
import { makeDirectory } from '../native/make-directory.ts';
import { readSmallFile } from '../native/read-small-file.ts';
import { type GuestName, type GuestNames, NAMES_MAX } from '../proxy/flows/guest-names.ts';
import { replaceFile } from '../proxy/replace-file.ts';
import { parseAddress } from '../services/address-text.ts';
import type { Guest } from '../stack/guest.ts';
import { formatMac, type Mac } from '../wire/mac.ts';

const WRITTEN_EVERY_MS = 10_000;
const FILE_MAX = 16 * 1024 * 1024;

export interface KeptNamesDeps {
  readonly names: GuestNames;
  readonly clock: Pick<Clock, 'now'>;
  /** What a guest's link is called, without the number of the connection; undefined: it has none. */
  readonly linkOf: (guest: Guest) => string | undefined;
  /** Undefined: they are kept over the end of a link alone. */
  readonly file: string | undefined;
  readonly log: Log;
}

/** Of guests that are not there; instants are of the clock. */
type Absent = Map<string, readonly GuestName[]>;

const fileSchema = () =>
  z.object({
    version: z.literal(1),
    guests: z.array(
      z.object({
        guest: z.string().max(1_024),
        names: z
          .array(
            z.object({
              name: z.string().max(255),
              address: z.union([z.ipv4(), z.ipv6()]),
              untilMs: z.number(),
              grantedMs: z.number(),
            }),
          )
          .max(NAMES_MAX),
      }),
    ),
  });

export class KeptNames {
  /** Undefined: there is no file. */
  readonly claim: FileClaim | undefined;
  private readonly deps: KeptNamesDeps;
  private readonly absent: Absent = new Map();
  private held = 0;
  /** The last write has failed. */
  private failed = false;
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor(deps: KeptNamesDeps) {
    const { file, log } = deps;
    this.deps = deps;
    this.claim =
      file === undefined ? undefined : new FileClaim(file, "the file of guests' names", log);
    if (file === undefined) return;
    this.load(file);
    this.timer = setInterval(() => this.save(), WRITTEN_EVERY_MS).unref();
  }

  /** A guest sends from an Ethernet address for the first time. */
  onHeard(guest: Guest, mac: Mac): void {
    if (this.absent.size === 0) return;
    const key = this.keyOf(guest, mac);
    const names = key === undefined ? undefined : this.absent.get(key);
    if (key === undefined || names === undefined) return;
    this.remove(key, names);
    const now = this.deps.clock.now();
    for (const one of names) if (one.until >= now) this.deps.names.restore(guest, one);
  }

  /** A guest is gone for good; its names are about to be forgotten. */
  onGone(guest: Guest): void {
    const key = this.firstKeyOf(guest);
    if (key !== undefined) this.add(key, [...this.deps.names.entriesOf(guest)]);
  }

  close(): void {
    clearInterval(this.timer);
    this.save();
    this.claim?.close();
  }

  private add(key: string, names: readonly GuestName[]): void {
    const before = this.absent.get(key);
    if (before !== undefined) this.remove(key, before);
    if (names.length === 0) return;
    this.absent.set(key, names);
    this.held += names.length;
    for (const [oldest, of] of this.absent) {
      if (this.held <= NAMES_MAX) return;
      this.remove(oldest, of);
    }
  }

  private remove(key: string, names: readonly GuestName[]): void {
    this.absent.delete(key);
    this.held -= names.length;
  }

  private firstKeyOf(guest: Guest): string | undefined {
    const [mac] = guest.macs;
    return mac === undefined ? undefined : this.keyOf(guest, mac);
  }

  private keyOf(guest: Guest, mac: Mac): string | undefined {
    const link = this.deps.linkOf(guest);
    return link === undefined ? undefined : `${formatMac(mac)} ${link}`;
  }

  private load(path: string): void {
    try {
      const { guests } = fileSchema().parse(JSON.parse(readSmallFile(path, FILE_MAX)));
      const epochMs = Date.now() - this.deps.clock.now();
      for (const { guest, names } of guests) {
        const known = names.flatMap(({ name, address: text, untilMs, grantedMs }) => {
          const address = parseAddress(text);
          if (address === undefined) return [];
          return [{ name, address, until: untilMs - epochMs, granted: grantedMs - epochMs }];
        });
        this.add(guest, known);
      }
    } catch (cause) {
      if (isMissing(cause)) return;
      this.deps.log.warn({ path, cause: String(cause) }, 'cannot read the names of guests');
    }
  }

  private save(): void {
    const { file: path, names, clock, log } = this.deps;
    if (path === undefined) return;
    const epochMs = Date.now() - clock.now();
    const now = clock.now();
    const all: Absent = new Map(this.absent);
    for (const guest of names.guests()) {
      const key = this.firstKeyOf(guest);
      if (key !== undefined) all.set(key, [...names.entriesOf(guest)]);
    }
    const guests = Array.from(all, ([guest, list]) => ({
      guest,
      names: list
        .filter(({ until }) => until >= now)
        .map(({ name, address, until, granted }) => ({
          ...{ name, address: address.toString() },
          ...{ untilMs: Math.round(until + epochMs), grantedMs: Math.round(granted + epochMs) },
        })),
    })).filter((one) => one.names.length > 0);
    try {
      makeDirectory(dirname(path));
      this.claim?.renew();
      replaceFile(path, `${JSON.stringify({ version: 1, guests })}\n`, 0o600);
      this.claim?.renew();
      this.failed = false;
    } catch (cause) {
      if (!this.failed)
        log.warn({ path, cause: String(cause) }, 'cannot write the names of guests');
      this.failed = true;
    }
  }
}

const isMissing = (cause: unknown): boolean =>
  cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
