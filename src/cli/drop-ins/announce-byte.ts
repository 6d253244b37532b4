/** Readiness of drop-ins for containers: their launchers wait for one byte. */
import { closeSync, writeSync } from 'node:fs';
import type { Log } from '../../base/log.ts';

export function announceByte(fd: number, log: Log): void {
  try {
    writeSync(fd, '1');
    closeSync(fd);
  } catch (error) {
    log.warn({ fd, err: error }, '--ready-fd has no reader');
  }
}
