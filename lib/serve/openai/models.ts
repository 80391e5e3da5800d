/** The list of models, as OpenAI's API has it. */
import type { Model } from '../../model/model.js';
import { samplingOptions } from '../../sampling-options.js';
import type { App, ServeContext } from '../context.js';
import { ApiError } from '../errors.js';
import type { ServedModel } from '../served-models.js';

/** Adds the list of models, and for the admin key `POST /v1/models/{id}/load` and `.../unload`. */
export function addModelRoutes(app: App, { models, settings, log }: ServeContext): void {
  app.post('/v1/models/:id{.+}/:action{load|unload}', async (c) => {
    const { isAdmin, id } = c.get('exchange');
    if (!isAdmin) throw adminRefused(settings.adminKey !== undefined);
    const { id: name, action } = c.req.param();
    const model = models.find(name);
    log.note(`${id}: ${action} ${name}`);
    if (action === 'unload') await model.unload();
    else await models.load(model, new AbortController().signal);
    return c.json(modelCard(name, model));
  });
  app.get('/v1/models', (c) =>
    c.json({
      object: 'list',
      data: models.all.flatMap((model) => model.names.map((name) => modelCard(name, model))),
    }),
  );
  app.get('/v1/models/:id{.+}', (c) => {
    const name = c.req.param('id');
    return c.json(modelCard(name, models.find(name)));
  });
}

function adminRefused(isThereOne: boolean): ApiError {
  const advice = isThereOne ? '' : '; this server was started without --admin-key';
  return new ApiError(`wanted the admin key to load and unload models${advice}`, {
    ...{ status: 403, type: 'permission_error', code: 'admin_only' },
  });
}

function modelCard(id: string, model: ServedModel): object {
  return {
    id,
    object: 'model',
    created: model.createdAt,
    owned_by: 'kexa',
    root: model.root,
    max_model_len: model.loaded?.contextSize ?? null,
    state: model.state,
    kexa: { defaults: model.loaded ? samplingDefaults(model.loaded) : null },
  };
}

/** The values of sampling options that a request does not set, by the request's field. */
function samplingDefaults({ config: { generationDefaults } }: Model): Record<string, number> {
  const named = samplingOptions.filter(({ json }) => json !== null);
  return Object.fromEntries(named.map((option) => [option.json, generationDefaults[option.name] ?? option.default]));
}
