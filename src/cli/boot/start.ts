#!/usr/bin/env node
/** `dist/bin/hawser.js`, and others under their names: runs the program beside it, `main.ts` bundled. */
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { collectAlone, forgetYoungSize } from './memory.ts';
import { loadProgram } from './program-file.ts';

const PROGRAM = fileURLToPath(new URL('hawser.main.js', import.meta.url));

forgetYoungSize();
collectAlone();
loadProgram(PROGRAM).run(basename(fileURLToPath(import.meta.url), '.js'));
