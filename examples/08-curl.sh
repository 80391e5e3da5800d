#!/bin/sh
# Asks a server by curl.    kexa serve -m models/tiny    sh examples/08-curl.sh [url]
url=${1:-http://127.0.0.1:8000}

curl -sSf "$url/v1/chat/completions" -H 'content-type: application/json' -d '{
  "messages": [{ "role": "user", "content": "How do I insert a table?" }],
  "temperature": 0, "max_tokens": 100
}'
echo
# Tokens as they come: -N keeps curl from holding them back.
curl -sSfN "$url/v1/completions" -H 'content-type: application/json' -d '{
  "prompt": "In the beginning God", "temperature": 0, "max_tokens": 20, "stream": true
}'
