import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PolicyConfig } from '../../../src/network/config.ts';
import { OptionsError } from '../../../src/network/option-problem.ts';
import { readStartPolicy } from '../../../src/network/policy/start-policy.ts';

describe('network/policy/start-policy', () => {
  const surroundings = { hosts: [], unbound: new Set<string>(), instantOf: (ms: number) => ms };
  const problems = async (config: Partial<PolicyConfig>): Promise<readonly string[]> => {
    try {
      await readStartPolicy({ file: undefined, allow: [], deny: [], ...config }, surroundings);
    } catch (error) {
      assert.ok(error instanceof OptionsError);
      return error.message.split('\n').map((line) => line.replace(/: must.*/, ''));
    }
    return [];
  };

  it('a rule of the command line that is wrong is named as it was given', async () => {
    const allow = ['a.test:443', 'b.test:0', '**.c.test'];
    assert.deepEqual(await problems({ allow, deny: ['10.0.0.0/33'] }), [
      '--deny 10.0.0.0/33',
      '--allow b.test:0',
      '--allow **.c.test',
    ]);
    const [said = ''] = await problems({ allow: ['*.com'] });
    assert.match(said, /^--allow \*\.com: covers every name that is registered below com/);
  });

  it('so is one in front of a file whose own rules are right', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    try {
      const file = join(dir, 'policy.yaml');
      writeFileSync(file, 'default: deny\nrules:\n  - allow: { name: a.test }\n');
      assert.deepEqual(await problems({ file, deny: ['a..b'] }), ['--deny a..b']);
      writeFileSync(file, 'default: deny\nrules:\n  - allow: { name: a..b }\n');
      assert.deepEqual(await problems({ file, deny: ['a.test'] }), [
        `${file}:3: rules[0].allow.name`,
      ]);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
