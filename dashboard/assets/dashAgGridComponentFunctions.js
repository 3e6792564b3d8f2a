/* Cells of the articles' grid. Everything is a React text node: no HTML is ever made from a title. */
var dagcomponentfuncs = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});

dagcomponentfuncs.ArticleTitle = function (props) {
  var url = props.data.url || "";
  if (!/^https?:\/\//i.test(url)) { return React.createElement("bdi", { title: props.value }, props.value); }
  return React.createElement(
    "a",
    { href: url, target: "_blank", rel: "noopener noreferrer nofollow", title: props.value, className: "out" },
    React.createElement("bdi", null, props.value)
  );
};

dagcomponentfuncs.Sentiment = function (props) {
  return React.createElement("span", { className: "sentiment " + props.data.sentiment }, props.data.sentiment_text);
};
