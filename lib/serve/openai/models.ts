/** The list of models, as OpenAI's API has it. */
import type { Model } from '../../model/model.js';
import { samplingOptions } from '../../sampling-options.js';
import type { App, ServeContext } from '../context.js';
import type { ServedModel } from '../served-models.js';

/** Adds `GET /v1/models` and `GET /v1/models/{id}`. */
export function addModelRoutes(app: App, { models }: ServeContext): void {
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
