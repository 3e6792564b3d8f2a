"""REST under /api/v1, for programs: tokens only, never cookies. From one table of endpoints come the routes and the OpenAPI document.

    request ─▶ routes: endpoint? ─▶ access: token, scope ─▶ bucket: not too often ─▶ reading: query and body ─▶ handler ─▶ answer

endpoints   the table: method, path, scope, what is asked and answered       types     what travels
reads       articles, moods, alerts, labels, each as known at a time        actions   what is done: to alerts, silences, labels, tokens
feeding     articles in, texts through the model                            backends  what the process that serves it can do besides
stream      scores and alerts as they come, for many listeners at once      openapi   the document
access      who asks                     bucket    how often                problems  RFC 9457              cursors   where a page ended
"""
