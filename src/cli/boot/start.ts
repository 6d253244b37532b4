#!/usr/bin/env node
/** `dist/bin/hawser.js`, and others under their names: runs one of the programs beside it, which are `main.ts` bundled. */
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { collectAlone, forgetYoungSize } from './memory.ts';
import { loadProgram } from './program-file.ts';
import { programFor } from './program-for.ts';

const start = {
  name: basename(fileURLToPath(import.meta.url), '.js'),
  parent: process.ppid,
  begin: (program: string): void => {
    loadProgram(fileURLToPath(new URL(`${program}.js`, import.meta.url))).run(start);
  },
};

forgetYoungSize();
collectAlone();
start.begin(programFor(start.name, process));
