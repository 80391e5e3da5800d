import test from 'tape';
import { ChatPage, endBrowser } from '../support/chat-page.js';
import { startServer } from '../support/server.js';

test.onFinish(endBrowser);
test('x', async (t) => {
  const server = await startServer(t, { apiKeys: ['right-key'], maxQueue: 0 });
  for (let i = 0; i < 12; i++) {
    const chat = await ChatPage.open(t, server.url, { settings: { numbers: { seed: 7 } } });
    const log: string[] = [];
    await chat.page.waitForTimeout(700);
    const n = await chat.page.getByRole('dialog').count();
    if (n === 0) {
      console.log(
        '# none',
        chat.watched.complaints,
        (await chat.page.locator('body').innerText()).slice(0, 600),
        await chat.page.locator('dialog').count(),
        log,
      );
      await chat.page.screenshot({ path: '/var/tmp/page/zz.png' });
    } else t.pass('there');
    await chat.page.context().close();
  }
});
