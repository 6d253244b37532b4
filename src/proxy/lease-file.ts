/**
 * DHCP leases in a JSON file, so that guests keep their addresses over a restart. Written a moment
 * after the last change, to a new file that replaces the old one: a crash leaves one or the other,
 * never a partial file. When the file cannot be read, guests lose their old addresses, not their network.
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import * as z from 'zod';
import type { Log } from '../base/log.ts';
import { readSmallFile } from '../native/read-small-file.ts';
import type { LeaseStore, StoredLease } from '../services/dhcp/lease.ts';
import { replaceFile } from './replace-file.ts';

const SETTLE_MS = 200;

const fileSchema = () =>
  z.object({
    version: z.literal(1),
    leases: z.array(
      z.object({
        address: z.ipv4(),
        mac: z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/),
        client: z.string().regex(/^(id|hw):[0-9a-f]{1,510}$/),
        hostname: z.string().max(64).optional(),
        expiresAtMs: z.number().nonnegative(),
      }),
    ),
  });

export class LeaseFile implements LeaseStore {
  private readonly path: string;
  private readonly log: Log;
  private readonly settleMs: number;
  private latest: readonly StoredLease[] = [];
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor(path: string, log: Log, settleMs: number = SETTLE_MS) {
    this.path = path;
    this.log = log;
    this.settleMs = settleMs;
  }

  load(): readonly StoredLease[] {
    let text: string;
    try {
      text = readSmallFile(this.path);
    } catch (cause) {
      if (!isMissing(cause))
        this.warn(cause, 'cannot read the lease file: starting without leases');
      return [];
    }
    try {
      return fileSchema().parse(JSON.parse(text)).leases;
    } catch (cause) {
      this.warn(cause, 'the lease file is damaged: starting without leases');
      return [];
    }
  }

  save(leases: readonly StoredLease[]): void {
    this.latest = leases;
    if (this.timer !== undefined) return;
    this.timer = setTimeout(() => this.flush(), this.settleMs);
    this.timer.unref();
  }

  /** Write pending changes now. Call it before the process ends. */
  flush(): void {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    try {
      mkdirSync(dirname(this.path), { recursive: true });
      const text = `${JSON.stringify({ version: 1, leases: this.latest }, undefined, 2)}\n`;
      replaceFile(this.path, text, 0o600);
    } catch (cause) {
      this.warn(cause, 'cannot write the lease file: leases will not survive a restart');
    }
  }

  private warn(cause: unknown, message: string): void {
    this.log.warn({ path: this.path, cause: String(cause) }, message);
  }
}

const isMissing = (cause: unknown): boolean =>
  cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
