import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bindLibc, type Libc, THIS_HOST } from '../../src/native/libc.ts';
import { LinuxMessageSockets } from '../../src/native/message-sockets.ts';
import { describeNeeding } from '../support/requirements.ts';

describeNeeding('native/message-sockets', ['koffi', 'linux'], () => {
  it('a socket of packets is not there before it accepts', () => {
    const dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    const path = join(dir, 's');
    const libc = bindLibc('open a socket', '', THIS_HOST);
    const wasThere: boolean[] = [];
    const watched: Libc = {
      ...libc,
      listen: (fd, backlog) => {
        wasThere.push(existsSync(path));
        return libc.listen(fd, backlog);
      },
    };
    const fd = new LinuxMessageSockets(watched).open('seqpacket', path, 0o600);
    assert.deepEqual(wasThere, [false]);
    assert.deepEqual(readdirSync(dir), ['s']);
    libc.close(fd);
    rmSync(dir, { recursive: true });
  });
});
