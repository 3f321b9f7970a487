// Beside the page and not in it, because its policy allows no script inside.
SwaggerUIBundle({
  url: new URL("../openapi.json", document.currentScript.src).href,
  dom_id: "#page",
  deepLinking: true,
  persistAuthorization: false, // a key that is entered is forgotten with the page
  validatorUrl: null, // asks nobody else
});
