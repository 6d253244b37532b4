/**
 * A network over a link, with one thing that is asked or told about each flow: `node asked-main.js VARIANT LINK FILE`. Prints
 * `ready`, and ends at SIGTERM. FILE is that of the audit log.
 */
import { createNetwork } from '../../src/network/create-network.ts';
import type { NetworkHooks } from '../../src/network/hooks/hooks.ts';
import type { NetworkOptions } from '../../src/network/options.ts';
import { VARIANTS } from './variants.ts';

const [, , wanted = '', listen = '', file = ''] = process.argv;
const variant = VARIANTS.find((one) => one === wanted);
if (variant === undefined) throw new Error(`no variant ${wanted}: ${VARIANTS.join(', ')}`);

const OPTIONS: Readonly<Record<(typeof VARIANTS)[number], NetworkOptions & NetworkHooks>> = {
  none: {},
  'onFlow at once': { onFlow: () => 'allow' },
  'onFlow by a promise': { onFlow: () => Promise.resolve('allow') },
  'verdicts followed': {},
  'audit log': { auditLog: file },
  'audit log, required': { auditLog: file, audit: 'required' },
};
const network = await createNetwork({ listen, ...OPTIONS[variant] });
if (variant === 'verdicts followed') network.on('verdict', () => {});
process.stdout.write('ready\n');
process.on('SIGTERM', () => void network.close().then(() => process.exit()));
