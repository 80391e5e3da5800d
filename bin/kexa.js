#!/usr/bin/env node
import { existsSync } from 'node:fs';

const program = new URL('../dist/cli/program.js', import.meta.url);
if (existsSync(program)) {
  const { main } = await import(program.href);
  await main(process.argv);
} else {
  process.stderr.write('kexa: not built yet: run "npm run build" in the folder of kexa first\n');
  process.exitCode = 1;
}
