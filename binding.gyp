# One build definition, CMakeLists.txt: this only lets node-gyp call it.
{ 'targets': [ { 'target_name': 'kexa_cmake', 'type': 'none', 'actions': [ {
    'action_name': 'cmake_js',
    'inputs': [ 'CMakeLists.txt' ], 'outputs': [ '<(PRODUCT_DIR)/kexa.node' ],
    'action': [ 'node', 'node_modules/cmake-js/bin/cmake-js', 'compile' ] } ] } ] }
