import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { type CpioEntry, makeCpio } from '../../../src/lab/vm/cpio.ts';

interface Member {
  readonly path: string;
  readonly mode: number;
  readonly data: string;
}

/** Read an archive as the kernel does: header, name, padding, data, padding. */
function readCpio(archive: Buffer): Member[] {
  const members: Member[] = [];
  let off = 0;
  for (;;) {
    assert.equal(archive.toString('latin1', off, off + 6), '070701');
    const field = (n: number): number =>
      Number.parseInt(archive.toString('latin1', off + 6 + n * 8, off + 14 + n * 8), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const path = archive.toString('utf8', off + 110, off + 110 + nameSize - 1);
    const dataAt = Math.ceil((off + 110 + nameSize) / 4) * 4;
    if (path === 'TRAILER!!!') return members;
    members.push({ path, mode, data: archive.toString('utf8', dataAt, dataAt + size) });
    off = Math.ceil((dataAt + size) / 4) * 4;
  }
}

describe('cpio', () => {
  const entries: readonly CpioEntry[] = [
    { path: 'bin', kind: 'dir' },
    { path: 'bin/sh', kind: 'link', target: 'busybox' },
    { path: 'init', kind: 'file', data: Buffer.from('#!/bin/sh'), executable: true },
    { path: 'etc', kind: 'file', data: Buffer.from('x'), executable: false },
  ];

  it('keeps names, modes and contents', () => {
    assert.deepEqual(readCpio(makeCpio(entries)), [
      { path: 'bin', mode: 0o040755, data: '' },
      { path: 'bin/sh', mode: 0o120777, data: 'busybox' },
      { path: 'init', mode: 0o100755, data: '#!/bin/sh' },
      { path: 'etc', mode: 0o100644, data: 'x' },
    ]);
  });

  it('pads the archive to four bytes, so that another may follow', () => {
    for (const len of [0, 1, 2, 3, 4, 5]) {
      const data = Buffer.alloc(len);
      const archive = makeCpio([{ path: 'f', kind: 'file', data, executable: false }]);
      assert.equal(archive.length % 4, 0);
    }
  });
});
