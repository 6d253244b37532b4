import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { readKubeconfig } from '../../../../src/cli/agent/kubernetes/kubeconfig.ts';

/** As kubectl 1.32 merges files: `kubectl config view --raw`. */
describe('agent: $KUBECONFIG of several files', () => {
  const { KUBECONFIG } = process.env;
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-kubeconfig-'));
    mkdirSync(join(dir, 'sub'));
    write('bare', {
      ...{ 'current-context': '', clusters: [{ name: 'c', cluster: { server: 'http://bare' } }] },
      users: [{ name: 'u', user: { token: 'bare' } }],
    });
    write('full', {
      'current-context': 'x',
      clusters: [
        { name: 'c', cluster: { server: 'http://full', 'insecure-skip-tls-verify': true } },
      ],
      users: [{ name: 'u', user: { username: 'full', password: 'p' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    });
    write('sub/other', {
      'current-context': 'z',
      clusters: [{ name: 'd', cluster: { server: 'http://other', 'certificate-authority': 'ca' } }],
      users: [{ name: 'v', user: { tokenFile: 'token' } }],
      contexts: [
        { name: 'x', context: { cluster: 'd', user: 'v' } },
        { name: 'z', context: { cluster: 'd', user: 'v' } },
      ],
    });
    writeFileSync(join(dir, 'sub/token'), 'of a file\n');
    writeFileSync(join(dir, 'empty'), '');
    writeFileSync(join(dir, 'broken'), '{{');
  });
  afterEach(() => {
    if (KUBECONFIG === undefined) delete process.env['KUBECONFIG'];
    else process.env['KUBECONFIG'] = KUBECONFIG;
    rmSync(dir, { recursive: true, force: true });
  });

  const write = (name: string, config: object): void =>
    writeFileSync(join(dir, name), JSON.stringify(config));
  const list = (...names: readonly string[]): void => {
    process.env['KUBECONFIG'] = names.map((name) => name && join(dir, name)).join(delimiter);
  };

  const rows: readonly (readonly [names: string, server: string, user: object])[] = [
    ['full', 'http://full', { username: 'full', password: 'p', token: undefined }],
    ['bare full', 'http://bare', { username: undefined, password: undefined, token: 'bare' }],
    ['full bare', 'http://full', { username: 'full', password: 'p', token: undefined }],
    ['bare full sub/other', 'http://bare', { token: 'bare' }],
    ['sub/other full bare', 'http://other', { token: 'of a file' }],
    ['bare sub/other', 'http://other', { token: 'of a file' }],
    ['missing full', 'http://full', { username: 'full' }],
    ['full full', 'http://full', { username: 'full' }],
  ];
  for (const [names, server, user] of rows) {
    it(`${names}: ${server}, ${JSON.stringify(user)}`, () => {
      list(...names.split(' '));
      const config = readKubeconfig('');
      assert.equal(config.getCurrentCluster()?.server, server);
      assert.deepEqual({ ...config.getCurrentUser(), ...user }, config.getCurrentUser());
    });
  }

  it('without a name, missing, empty: they are skipped', () => {
    list('', 'missing', 'empty', '', 'full', 'missing');
    assert.equal(readKubeconfig('').getCurrentCluster()?.server, 'http://full');
  });

  it('paths in them are beside each', () => {
    list('full', 'sub/other');
    assert.equal(readKubeconfig('').getCluster('d')?.caFile, join(dir, 'sub/ca'));
  });

  it('none of them is there: it says so, and looks nowhere else', () => {
    list('missing', 'sub/missing');
    assert.throws(() => readKubeconfig(''), /^Error: no kubeconfig is there: \S+, \S+missing$/);
  });

  it('that are something else: it says which', () => {
    assert.equal(spawnSync('mkfifo', [join(dir, 'fifo')]).status, 0);
    for (const [name, why] of [
      ['broken', /\/broken is no kubeconfig: /],
      ['sub', { code: 'ERR_HAWSER_FILE_KIND' }],
      ['fifo', { code: 'ERR_HAWSER_FILE_KIND' }],
      ['full/x', { code: 'ENOTDIR' }],
    ] as const) {
      list('full', name);
      assert.throws(() => readKubeconfig(''), why);
    }
  });

  it('a file that is named is read alone, whatever its name', () => {
    list('full');
    const path = join(dir, `a${delimiter}b`);
    writeFileSync(path, JSON.stringify({ clusters: [{ name: 'e', cluster: { server: 'x' } }] }));
    const { clusters } = readKubeconfig(path);
    assert.deepEqual(
      clusters.map(({ name }) => name),
      ['e'],
    );
  });
});
