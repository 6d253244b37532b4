#!/usr/bin/env node
/** `dist/bin/hawser.js`: runs the program beside it, `main.ts` bundled. */
import { fileURLToPath } from 'node:url';
import { loadProgram } from './program-file.ts';

const PROGRAM = fileURLToPath(new URL('hawser.main.js', import.meta.url));

loadProgram(PROGRAM).run();
