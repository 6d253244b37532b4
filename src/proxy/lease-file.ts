/**
 * DHCP leases in a JSON file, so that guests keep their addresses of both families over a restart. Written a moment
 * after the last change, to a new file that replaces the old one: a crash leaves one or the other,
 * never a partial file. What a full disk has not taken is tried again. When the file cannot be read, guests lose their old addresses, not their network.
 */
import { dirname } from 'node:path';
import * as z from 'zod';
import type { Log } from '../base/log.ts';
import { FileClaim } from '../native/file-claim.ts';
import { makeDirectory } from '../native/make-directory.ts';
import { readSmallFile } from '../native/read-small-file.ts';
import type { LeaseKeeper, StoredLease } from '../services/dhcp/lease.ts';
import { replaceFile } from './replace-file.ts';

const SETTLE_MS = 200;
const RETRY_MS = 5_000;

const lease = <A extends z.ZodType<string>>(address: A, client: RegExp) =>
  z.object({
    address,
    mac: z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/),
    client: z.string().regex(client),
    hostname: z.string().max(64).optional(),
    expiresAtMs: z.number().nonnegative(),
  });

/** Versions without IPv6 read `leases` alone. */
const fileSchema = () =>
  z.object({
    version: z.literal(1),
    leases: z.array(lease(z.ipv4(), /^(id|hw):[0-9a-f]{1,510}$/)),
    leases6: z.array(lease(z.ipv6(), /^duid:[0-9a-f]{6,260}\/[0-9a-f]{8}$/)).default([]),
  });

type Part = 'leases' | 'leases6';
type Contents = Record<Part, readonly StoredLease[]>;

export class LeaseFile {
  readonly ipv4: LeaseKeeper;
  readonly ipv6: LeaseKeeper;
  readonly claim: FileClaim;
  private readonly path: string;
  private readonly log: Log;
  private readonly settleMs: number;
  private readonly retryMs: number;
  /** Undefined: not read yet. What nobody saves stays as it was read. */
  private contents: Contents | undefined = undefined;
  private timer: NodeJS.Timeout | undefined = undefined;
  /** The last write has failed. */
  private failed = false;

  constructor(path: string, log: Log, settleMs: number = SETTLE_MS, retryMs: number = RETRY_MS) {
    this.ipv4 = this.storeOf('leases');
    this.ipv6 = this.storeOf('leases6');
    this.claim = new FileClaim(path, 'the lease file', log);
    this.path = path;
    this.log = log;
    this.settleMs = settleMs;
    this.retryMs = retryMs;
  }

  private storeOf(part: Part): LeaseKeeper {
    return {
      load: () => this.read()[part],
      save: (leases) => {
        this.read()[part] = leases;
        this.writeAfter(this.settleMs);
      },
    };
  }

  private read(): Contents {
    this.contents ??= this.load();
    return this.contents;
  }

  private load(): Contents {
    let text: string;
    try {
      text = readSmallFile(this.path);
    } catch (cause) {
      if (!isMissing(cause))
        this.warn(cause, 'cannot read the lease file: starting without leases');
      return { leases: [], leases6: [] };
    }
    try {
      return fileSchema().parse(JSON.parse(text));
    } catch (cause) {
      this.warn(cause, 'the lease file is damaged: starting without leases');
      return { leases: [], leases6: [] };
    }
  }

  private writeAfter(delayMs: number): void {
    this.timer ??= setTimeout(() => {
      this.flush();
      if (this.failed) this.writeAfter(this.retryMs);
    }, delayMs).unref();
  }

  /** Write pending changes, and leave the file to others. */
  close(): void {
    this.flush();
    this.claim.close();
  }

  /** Write pending changes now, and not again. */
  flush(): void {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    try {
      makeDirectory(dirname(this.path));
      const text = `${JSON.stringify({ version: 1, ...this.read() }, undefined, 2)}\n`;
      this.claim.renew();
      replaceFile(this.path, text, 0o600);
      this.claim.renew();
      if (this.failed) this.log.info({ path: this.path }, 'the lease file is written again');
      this.failed = false;
    } catch (cause) {
      if (!this.failed) {
        this.warn(cause, 'cannot write the lease file: leases would not survive a restart');
      }
      this.failed = true;
    }
  }

  private warn(cause: unknown, message: string): void {
    this.log.warn({ path: this.path, cause: String(cause) }, message);
  }
}

const isMissing = (cause: unknown): boolean =>
  cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
