/** `npm run bench:micro`: every micro-benchmark, one after the other. */
import { readdirSync } from 'node:fs';

const here = new URL('.', import.meta.url);
for (const name of readdirSync(here).sort()) {
  if (name.endsWith('.bench.js')) await import(new URL(name, here).href);
}
