/** kexa's BPE against the library that models were trained with: 10,000 texts, where test text/bpe has 1,500. */
import { testHardTexts } from '../support/bpe-library.js';

testHardTexts(10_000);
