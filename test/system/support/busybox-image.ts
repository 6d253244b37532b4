/** The file system of a container with busybox alone, made here. */
import { chmodSync, copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { findBusybox } from '../../../src/lab/vm/vm-parts.ts';
import { succeed } from './processes.ts';

const APPLETS = [
  ...[
    'sh',
    'httpd',
    'nc',
    'cat',
    'sleep',
    'echo',
    'wc',
    'sha256sum',
    'dd',
    'wget',
    'ip',
    'nslookup',
  ],
];

/** @returns a tar for `docker import` and `podman import`, with an empty /www */
export async function busyboxImage(dir: string): Promise<string> {
  const root = join(dir, 'rootfs');
  for (const name of ['bin', 'tmp', 'www', 'etc']) mkdirSync(join(root, name), { recursive: true });
  copyFileSync(findBusybox(), join(root, 'bin/busybox'));
  const links = APPLETS.map((name) => `ln -sf busybox ${name}`).join('; ');
  await succeed(['sh', '-c', `cd ${root}/bin && ${links}`]);
  const tar = join(dir, 'image.tar');
  await succeed(['tar', '-C', root, '-cf', tar, '.']);
  chmodSync(tar, 0o644);
  return tar;
}
