// Pulls org/name with the segments that the first argument gives (bytes). Prints "begun" at the first progress, and the
// report at the end.
import { pull } from '../../dist/hub/pull.js';

let isBegun = false;
const report = await pull('org/name', {
  segmentBytes: Number(process.argv[2]),
  onProgress: () => {
    if (!isBegun) process.stdout.write('begun\n');
    isBegun = true;
  },
});
process.stdout.write(`${JSON.stringify(report)}\n`);
